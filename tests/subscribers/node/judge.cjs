// Reads AsyncAPI documents from standard input, one a line; says of each, in a line, what is wrong with it, and each
// message's headers as merged and its body's fields.
const { createInterface } = require("node:readline");
const { Parser } = require("@asyncapi/parser");

async function judged(text) {
  const { document, diagnostics } = await new Parser().parse(text);
  const faults = diagnostics.filter((found) => found.severity === 0).map((found) => `${found.path.join(".")}: ${found.message}`);
  const messages = {};
  for (const message of document ? document.allMessages().all() : []) {
    const fields = Object.keys(message.payload().properties());
    messages[message.name()] = { headers: message.headers().json(), correlation: message.correlationId().location(), fields };
  }
  return { faults, messages };
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await judged(line)));
})();
