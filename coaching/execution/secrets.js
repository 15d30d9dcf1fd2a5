// Covers what must not be seen on a picture: password fields, and whatever shows one of the secrets. Returns whether
// anything was covered. Called with a list of strings in a world of its own, out of the reach of the page's scripts:
// a page must not learn secrets that are meant for another.
async function cover(secrets) {
  // What takes no place on the screen stands in the middle of long words, for a line to be broken there.
  const NOTHING = /[\u00ad\u200b-\u200d\u2060\ufeff]/g;
  const squeeze = (text) => String(text ?? '').replace(NOTHING, '').replace(/\s+/g, ' ').trim().toLowerCase();
  const wanted = secrets.map(squeeze).filter(Boolean);
  const shows = (text) => wanted.some((secret) => squeeze(text).includes(secret));
  const PASSWORDS = 'input[type="password"], input[autocomplete~="current-password"], ' +
    'input[autocomplete~="new-password"], input[autocomplete~="one-time-code"], input[autocomplete^="cc-"]';

  function* deep(root) {
    for (const element of root.querySelectorAll('*')) {
      yield element;
      if (element.shadowRoot) yield* deep(element.shadowRoot);
    }
  }

  function fieldShows(element) {
    const options = [...(element.selectedOptions ?? [])].map((option) => option.label);
    return element.matches(PASSWORDS) || [element.value, element.placeholder, ...options].some(shows);
  }

  /** Whether an attribute is shown: instead of a picture that is not there, or by a style (`content: attr(…)`). */
  function attributeShows(element) {
    if (![...element.attributes].some((attribute) => shows(attribute.value))) return false;
    return element.matches('img') || ['::before', '::after'].some(
      (part) => !['none', 'normal'].includes(getComputedStyle(element, part).content));
  }

  /** The boxes of an element and of its text, which may reach beyond it. */
  function boxes(element) {
    const range = document.createRange();
    range.selectNodeContents(element);
    return [element.getBoundingClientRect(), ...range.getClientRects()].filter((box) => box.width && box.height);
  }

  function found() {
    const boxesFound = [];
    for (const element of deep(document)) {
      if (element.matches('option, script, style, coach-cover')) continue;
      // Without a box of its own, what is in it is there all the same.
      if (!element.checkVisibility() && getComputedStyle(element).display !== 'contents') continue;
      const field = element.matches('input, textarea, select');
      const here = field ? fieldShows(element)
        : shows(element.textContent) && ![...element.children].some((child) => shows(child.textContent));
      if (here || attributeShows(element)) boxesFound.push(...boxes(element));
    }
    return boxesFound;
  }

  const style = (element, rules) => {
    for (const [name, value] of Object.entries(rules)) element.style.setProperty(name, value, 'important');
  };
  // One may be left of a picture that was interrupted.
  for (const old of document.querySelectorAll('coach-cover')) old.remove();
  const blocks = found();
  if (!blocks.length) return false;
  const layer = document.createElement('coach-cover');
  layer.setAttribute('popover', 'manual');
  style(layer, {
    position: 'fixed', inset: '0', width: '100%', height: '100%', margin: '0', padding: '0', border: '0',
    background: 'transparent', overflow: 'hidden', 'pointer-events': 'none', display: 'block', opacity: '1',
  });
  for (const box of blocks) {
    const block = document.createElement('coach-cover-block');
    style(block, {
      position: 'absolute', display: 'block', background: '#3d3d3d', opacity: '1', visibility: 'visible',
      left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px`,
    });
    layer.append(block);
  }
  document.documentElement.append(layer);
  // The top layer, above dialogs.
  layer.showPopover();
  const painted = new Promise((resume) => { requestAnimationFrame(() => requestAnimationFrame(resume)); });
  await Promise.race([painted, new Promise((resume) => { setTimeout(resume, 100); })]);
  return true;
}
