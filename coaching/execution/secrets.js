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

  /** Whether an attribute is shown instead of a picture that is not there. */
  const imageShows = (element) => element.matches('img')
    && [...element.attributes].some((attribute) => shows(attribute.value));

  /** What a computed `content` puts on the screen: its strings and attributes, one after the other. */
  function words(content, element) {
    const pieces = content.matchAll(/"((?:[^"\\]|\\.)*)"|attr\(\s*([^\s,)]+)/gs);
    return [...pieces].map(([, string, name]) => (name ? element.getAttribute(name) ?? ''
      : string.replace(/\\(?:([0-9a-f]{1,6})\s?|(.))/gis, (_, hex, other) => other ?? String.fromCodePoint(parseInt(hex, 16)))
    )).join('');
  }

  const seen = (style) => style.display !== 'none' && style.visibility === 'visible' && style.opacity !== '0';

  /** The styles of what stands before and after an element, where they, or all together, show a secret. */
  function generated(element) {
    // To ask every element takes time: not where nothing is to be hidden.
    if (!wanted.length) return [];
    const styles = ['::before', '::after'].map((part) => getComputedStyle(element, part));
    const [before, after] = styles.map((style) => words(style.content, element));
    if (!before && !after) return [];
    const between = element.textContent;
    const shown = shows(before) || shows(after) || (!shows(between) && shows(before + between + after));
    return shown ? styles.filter((style) => words(style.content, element) && seen(style)) : [];
  }

  /** Where a text stands that is in no node: in the flow of its element, or nobody can say where. */
  function boxesOfGenerated(element, style) {
    const inFlow = style.position === 'static' && style.float === 'none' && style.transform === 'none'
      && parseFloat(style.marginLeft) >= 0 && parseFloat(style.marginTop) >= 0;
    let holder = element;
    while (holder && getComputedStyle(holder).display === 'contents') holder = holder.parentElement;
    if (!inFlow || !holder) return [new DOMRect(0, 0, innerWidth, innerHeight)];
    const box = holder.getBoundingClientRect();
    return [new DOMRect(box.x, box.y, Math.max(box.width, holder.scrollWidth), Math.max(box.height, holder.scrollHeight))];
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
      if (here || imageShows(element)) boxesFound.push(...boxes(element));
      for (const style of generated(element)) boxesFound.push(...boxes(element), ...boxesOfGenerated(element, style));
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
