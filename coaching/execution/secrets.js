// A selector engine that finds what must not be seen on a picture: password fields, and what shows a secret.
//
// Runs in Playwright's own world, out of the page's reach. Its argument is a list of strings, JSON in base64.
(() => {
  const squeeze = (text) => String(text ?? '').replace(/\s+/g, ' ').trim().toLowerCase();
  const PASSWORDS = 'input[type="password"], input[autocomplete~="current-password"], ' +
    'input[autocomplete~="new-password"], input[autocomplete~="one-time-code"], input[autocomplete^="cc-"]';

  function* deep(root) {
    for (const element of root.querySelectorAll('*')) {
      yield element;
      if (element.shadowRoot) yield* deep(element.shadowRoot);
    }
  }

  function fieldShows(element, secrets) {
    const options = [...(element.selectedOptions ?? [])].map((option) => option.label);
    const shown = [element.value, element.placeholder, ...options].map(squeeze);
    return secrets.some((secret) => shown.some((text) => text.includes(secret)));
  }

  /** The element, or the first one around it, whose box covers all of its text. */
  function covering(element) {
    const range = element.ownerDocument.createRange();
    range.selectNodeContents(element);
    const text = range.getBoundingClientRect();
    for (let node = element; node.parentElement; node = node.parentElement) {
      const box = node.getBoundingClientRect();
      const wide = box.left <= text.left + 1 && box.right >= text.right - 1;
      const high = box.top <= text.top + 1 && box.bottom >= text.bottom - 1;
      if (wide && high && box.width) return node;
    }
    return element;
  }

  function queryAll(root, body) {
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    const secrets = JSON.parse(new TextDecoder().decode(bytes)).map(squeeze).filter(Boolean);
    const found = new Set();
    const holds = (node) => {
      const text = squeeze(node.textContent);
      return secrets.some((secret) => text.includes(secret));
    };
    const smallest = (element) => holds(element) && ![...element.children].some(holds);
    for (const element of deep(root)) {
      if (!element.checkVisibility()) continue;
      if (element.matches('input, textarea, select')) {
        if (element.matches(PASSWORDS) || fieldShows(element, secrets)) found.add(element);
      } else if (secrets.length && !element.matches('option, script, style') && smallest(element)) {
        found.add(covering(element));
      }
    }
    return [...found];
  }
  return {queryAll, query: (root, body) => queryAll(root, body)[0] ?? null};
})()
