// Enhancements only: every page works as plain links and forms with scripts off.
(() => {
  "use strict";

  // A page that comes back with errors is read from its summary.
  document.querySelector("[data-autofocus]")?.focus();

  // Show or hide the password that a button controls.
  for (const button of document.querySelectorAll("[data-show-password]")) {
    const input = document.getElementById(button.getAttribute("aria-controls"));
    const show = (shown) => {
      input.type = shown ? "text" : "password";
      button.textContent = shown ? "Hide password" : "Show password";
    };
    button.hidden = false;
    button.addEventListener("click", () => show(input.type === "password"));
    // Browsers offer to keep a password, and never a text.
    input.form.addEventListener("submit", () => show(false));
  }
})();
