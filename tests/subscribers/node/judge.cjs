// Reads an AsyncAPI document from standard input; says what is wrong with it, and each message's headers as merged.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

new Parser().parse(readFileSync(0, "utf8")).then(({ document, diagnostics }) => {
  const faults = diagnostics.filter((found) => found.severity === 0).map((found) => `${found.path.join(".")}: ${found.message}`);
  const messages = {};
  for (const message of document ? document.allMessages().all() : []) {
    messages[message.name()] = { headers: message.headers().json(), correlation: message.correlationId().location() };
  }
  console.log(JSON.stringify({ faults, messages }));
});
