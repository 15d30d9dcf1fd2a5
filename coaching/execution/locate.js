// Finds the one element that the selectors of a recorded step mean, or says why it cannot be told.
//
// Installed by tabs.py before the page's own scripts, in every frame. Accessible names and roles come from Chrome's
// own `getAccessibleName` and `getAccessibleRole`: the very functions with which its Recorder makes aria/ selectors.
// Everything returned is data for locate.py, which has the words.
(() => {
  'use strict';
  const KEY = Symbol.for('coachsite');
  // They are at hand only while this script is run, so they are kept here.
  const [chromeName, roleOf] = [getAccessibleName, getAccessibleRole];
  const nameOf = (element) => squeeze(chromeName(element));

  const TEST_ID = /\[\s*(data-(?:testid|test-id|test|qa|qa-id|cy|automation-id|e2e))\s*[\^$*~|]?=/i;
  const CONTROL = 'a[href], area[href], button, input, select, textarea, summary, label, option, [contenteditable=""], ' +
    '[contenteditable="true"], [onclick], [role="button"], [role="link"], [role="checkbox"], [role="radio"], ' +
    '[role="switch"], [role="tab"], [role="option"], [role="menuitem"], [role="menuitemcheckbox"], ' +
    '[role="menuitemradio"], [role="combobox"], [role="textbox"], [role="searchbox"], [role="spinbutton"], ' +
    '[role="slider"], [role="treeitem"]';
  const EDITABLE = 'input:not([type="submit"]):not([type="button"]):not([type="reset"]):not([type="image"])' +
    ':not([type="hidden"]), select, textarea, [contenteditable=""], [contenteditable="true"], [role="textbox"], ' +
    '[role="searchbox"], [role="combobox"], [role="spinbutton"], [role="slider"]';
  const ROW = 'tr, [role="row"], li, [role="listitem"], fieldset, article, dialog, [role="dialog"]';
  // Always true, for no element has this name: it marks a path that a coach chose knowing it is only a position.
  const PICKED = ':not(coach-pick)';
  const TRUST = {
    testid: 1, role: 0.97, name: 0.93, label: 0.9, live: 0.86, placeholder: 0.85, text: 0.8, id: 0.75, picked: 0.7,
    attribute: 0.6, class: 0.5, weak: 0.3, positional: 0.1,
  };
  const ENOUGH = TRUST.class;
  const MANY = 40;

  // ---------------------------------------------------------------- text

  const squeeze = (text) => String(text ?? '').replace(/\s+/g, ' ').trim();
  const folded = (text) => squeeze(text).toLowerCase();
  // Live data in a name: a count in brackets always, other digits only where something else agrees.
  const withoutCounts = (text) => squeeze(text).replace(/([([{]\s*)[\d.,]+(\s*[)\]}])/g, '$10$2');
  const withoutDigits = (text) => squeeze(text).replace(/\d[\d.,]*/g, '0');
  const clip = (text, length) => (text.length > length ? text.slice(0, length - 1) + '…' : text);

  /** The text that text/ selectors speak of: what the Recorder reads, before any styling. */
  function textOf(element) {
    if (element instanceof HTMLInputElement) {
      return ['submit', 'button', 'reset'].includes(element.type) ? squeeze(element.value) : '';
    }
    if (element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement) return '';
    return squeeze(element.textContent);
  }

  /** The text as a person reads it. */
  const wordsOf = (element) => (textOf(element) && squeeze(element.innerText)) || textOf(element);

  // ---------------------------------------------------------------- the tree, through open shadow roots

  function* deep(root) {
    const start = root instanceof Element ? [root.shadowRoot, ...root.children] : root.children;
    for (const node of start) {
      if (!node) continue;
      if (node instanceof Element) yield node;
      yield* deep(node);
    }
  }

  const parentOf = (element) =>
    element.assignedSlot ?? element.parentElement ?? (element.getRootNode() instanceof ShadowRoot ? element.getRootNode().host : null);

  function contains(outer, inner) {
    for (let node = inner; node; node = parentOf(node)) if (node === outer) return true;
    return false;
  }

  function closest(element, selector) {
    for (let node = element; node; node = parentOf(node)) if (node.matches(selector)) return node;
    return null;
  }

  /** The control an element belongs to: itself, the button around an icon, the field of a label; null outside any. */
  function controlOf(element) {
    const control = closest(element, CONTROL);
    return control ? labelled(control) : null;
  }

  const labelled = (control) => (control instanceof HTMLLabelElement && control.control) || control;

  /** As controlOf, but also for what is around one: a cell that holds nothing but a field's label means the field. */
  function meantBy(element) {
    const own = controlOf(element);
    if (own) return own;
    const inner = new Set([...element.querySelectorAll(CONTROL)].map(labelled));
    if (inner.size !== 1) return null;
    const [control] = inner;
    return [nameOf(control), textOf(control)].includes(textOf(element)) ? control : null;
  }

  function sameControl(a, b) {
    if (a === b) return true;
    const control = meantBy(a);
    if (control && control === meantBy(b)) return true;
    const [outer, inner] = contains(a, b) ? [a, b] : [b, a];
    if (!contains(outer, inner) || outer.matches('body, html')) return false;
    // One inside the other, and nothing else in the outer one that could be meant.
    const mine = controlOf(inner) ?? inner;
    return !closest(outer, CONTROL) && [...outer.querySelectorAll(CONTROL)].every((other) => contains(mine, other) || contains(other, mine));
  }

  function visible(element) {
    if (element instanceof HTMLOptionElement) return !element.closest('select') || visible(element.closest('select'));
    if (!element.checkVisibility({visibilityProperty: true, contentVisibilityAuto: false})) return false;
    const box = element.getBoundingClientRect();
    return (box.width > 0 && box.height > 0) || [...element.children, ...(element.shadowRoot?.children ?? [])].some(visible);
  }

  // ---------------------------------------------------------------- selectors

  function parse(part) {
    for (const kind of ['aria', 'text', 'xpath', 'pierce', 'css']) {
      if (part.startsWith(kind + '/')) return kind === 'aria' ? parseAria(part.slice(5)) : {kind, value: part.slice(kind.length + 1)};
    }
    return {kind: 'css', value: part};
  }

  function parseAria(value) {
    const parsed = {kind: 'aria', name: '', role: '', attributes: []};
    const rest = value.replace(/\[\s*([\w-]+)\s*=\s*(["'])((?:\\.|(?!\2).)*)\2\s*\]/g, (_whole, key, _quote, text) => {
      const plain = text.replace(/\\(.)/g, '$1');
      if (key === 'role') parsed.role = plain;
      else if (key === 'name') parsed.name = squeeze(plain);
      else parsed.attributes.push([key, plain]);
      return '';
    });
    parsed.name = squeeze(rest) || parsed.name;
    return parsed;
  }

  const sameRole = (found, wanted) => found === wanted || (/^(img|image)$/.test(found) && /^(img|image)$/.test(wanted));

  function queryAria(scope, {name, role, attributes}) {
    const [exact, counted, loose] = [[], [], []];
    for (const element of deep(scope)) {
      if (element.matches('head, head *, body, script, style')) continue;
      if (role && !sameRole(roleOf(element), role)) continue;
      if (!attributes.every(([key, value]) => (element.getAttribute('aria-' + key) ?? element.getAttribute(key)) === value)) continue;
      const found = name ? nameOf(element) : '';
      if (found === name) exact.push(element);
      else if (!found || !/\d/.test(name)) continue;
      else if (withoutCounts(found) === withoutCounts(name)) counted.push(element);
      else if (withoutDigits(found) === withoutDigits(name)) loose.push(element);
    }
    const trust = !name ? TRUST.weak : role ? TRUST.role : TRUST.name;
    if (exact.length) return {elements: exact, trust};
    return counted.length ? {elements: counted, trust: TRUST.live} : {elements: loose, trust: TRUST.weak};
  }

  function queryText(scope, wanted) {
    const text = squeeze(wanted);
    const [exact, counted, longer] = [[], [], []];
    for (const element of deep(scope)) {
      const found = element.matches('script, style, noscript, head, head *') ? '' : textOf(element);
      if (!found) continue;
      if (found === text) exact.push(element);
      else if (withoutCounts(found) === withoutCounts(text)) counted.push(element);
      else if (found.startsWith(text)) longer.push(element);
    }
    if (exact.length) return {elements: innermost(exact), trust: TRUST.text};
    if (counted.length) return {elements: innermost(counted), trust: TRUST.text};
    // The Recorder cuts long texts; a short one was whole, and a longer text today is something else.
    return {elements: innermost(longer), trust: text.length >= 40 ? ENOUGH : TRUST.weak};
  }

  function innermost(elements) {
    const around = new Set();
    for (const element of elements) {
      for (let node = parentOf(element); node && !around.has(node); node = parentOf(node)) around.add(node);
    }
    return elements.filter((element) => !around.has(element));
  }

  function queryXpath(scope, path) {
    const root = scope.getRootNode() instanceof ShadowRoot && !(scope instanceof Element) ? scope.firstElementChild : scope;
    const relative = scope === document || path.startsWith('.') ? path : path.startsWith('(') ? path.replace('(', '(.') : '.' + path;
    const found = document.evaluate(relative, root, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null);
    const elements = [];
    for (let index = 0; index < found.snapshotLength; index += 1) {
      const node = found.snapshotItem(index);
      const element = node instanceof Element ? node : node.parentElement;
      if (element) elements.push(element);
    }
    return elements;
  }

  const GENERATED_ID = /(^|[-_:.])\d+($|[-_:.])|\d{3}|^:|^ember|^radix/i;
  const idTrust = (id) => (GENERATED_ID.test(id.replace(/\\3(\d) /g, '$1').replace(/\\/g, '')) ? TRUST.weak : TRUST.id);

  function xpathTrust(path) {
    if (/\[\s*\d+\s*\]|position\(\)|last\(\)|\b(following|preceding)(-sibling)?::/.test(path)) return TRUST.positional;
    const last = path.replace(/^.*\/(?![^[]*\])/s, '');
    const id = /@id\s*=\s*(["'])(.*?)\1/.exec(last);
    if (id) return idTrust(id[2]);
    if (/@data-(testid|test-id|test|qa|cy)\b/.test(last)) return TRUST.testid;
    if (/text\(\)|normalize-space|contains\(\s*\.|[[(]\s*\.\s*[=,]/.test(path)) return TRUST.text;
    if (/@aria-label\b/.test(last)) return TRUST.label;
    if (/@placeholder\b/.test(last)) return TRUST.placeholder;
    if (/@class\b/.test(last)) return TRUST.class;
    return /@/.test(last) ? TRUST.attribute : TRUST.positional;
  }

  /** The last compound of a CSS selector: what is said of the target itself. */
  function lastCompound(selector) {
    const token = /\\[0-9a-f]{1,6} ?|\\.|\[(?:"(?:\\.|[^"])*"|'(?:\\.|[^'])*'|[^\]])*\]|\([^)]*\)|([\s>+~]+)|./gis;
    let start = 0;
    for (const found of selector.matchAll(token)) if (found[1]) start = found.index + found[0].length;
    return selector.slice(start);
  }

  function cssTrust(selector) {
    if (selector.endsWith(PICKED)) return TRUST.picked;
    const last = lastCompound(selector.trim());
    const outside = last.replace(/\[[^\]]*\]/g, '[]');
    if (/:(nth-|first-|last-|only-)/.test(selector.replace(/\[[^\]]*\]/g, '[]'))) return TRUST.positional;
    if (TEST_ID.test(last)) return TRUST.testid;
    const id = /#((?:\\[0-9a-f]{1,6} ?|\\.|[\w-]|[^\x00-\x7f])+)/i.exec(outside) ?? /\[\s*id\s*=\s*["']?([^"'\]]*)/.exec(last);
    if (id) return idTrust(id[1]);
    if (/\[\s*aria-label\s*=/.test(last)) return TRUST.label;
    if (/\[\s*placeholder\s*=/.test(last)) return TRUST.placeholder;
    if (/\[/.test(last)) return TRUST.attribute;
    return /\./.test(outside) ? TRUST.class : TRUST.positional;
  }

  function queryPart(scope, parsed) {
    switch (parsed.kind) {
      case 'aria': return queryAria(scope, parsed);
      case 'text': return queryText(scope, parsed.value);
      case 'xpath': return {elements: queryXpath(scope, parsed.value), trust: xpathTrust(parsed.value)};
      case 'pierce': {
        document.createDocumentFragment().querySelector(parsed.value);
        return {elements: [...deep(scope)].filter((element) => element.matches(parsed.value)), trust: cssTrust(parsed.value)};
      }
      default: return {elements: [...scope.querySelectorAll(parsed.value)], trust: cssTrust(parsed.value)};
    }
  }

  /** One recorded selector (a string, or a chain of them into shadow roots): {elements, trust}; throws if unreadable. */
  function query(selector) {
    const parts = typeof selector === 'string' ? [selector] : selector;
    let found = {elements: [document], trust: 1};
    let [onTheWay, positional] = [1, false];
    for (const [index, part] of parts.entries()) {
      const parsed = parse(part);
      const inner = found.elements.map((scope) => queryPart(scope.shadowRoot ?? scope, parsed));
      const trust = Math.min(1, ...inner.filter((one) => one.elements.length).map((one) => one.trust));
      const nameless = parsed.kind === 'aria' && !parsed.name && index > 0;
      found = {elements: [...new Set(inner.flatMap((one) => one.elements))], trust: nameless ? onTheWay : trust};
      // The way to the target may be bare (the tag of a host), but it may not count positions.
      if (parsed.kind === 'aria' && !nameless) onTheWay = Math.min(onTheWay, trust);
      positional ||= index < parts.length - 1 && /:nth-|\[\d+\]/.test(part);
    }
    return {elements: found.elements, trust: positional ? TRUST.positional : Math.min(found.trust, onTheWay)};
  }

  // ---------------------------------------------------------------- which element is meant

  /** Of elements one inside the other only the one to use stays: the control, else the innermost. */
  function collapse(elements) {
    const kept = [];
    // Of so many, more than one stays anyway.
    for (const element of elements.slice(0, MANY)) {
      const index = kept.findIndex((other) => sameControl(other, element));
      if (index < 0) kept.push(element);
      else kept[index] = preferred(kept[index], element);
    }
    return kept;
  }

  function preferred(a, b) {
    if (a === b) return a;
    const control = meantBy(a);
    if (control === b || control === a) return control;
    return contains(a, b) ? b : a;
  }

  function resolve(selectors, type) {
    const results = [];
    for (const [index, selector] of selectors.entries()) {
      const result = {index, selector, trust: 0, elements: [], hidden: [], invalid: false};
      try {
        const {elements, trust} = query(selector);
        result.trust = trust;
        const usable = type === 'change' ? editable(elements) : elements;
        result.elements = collapse(usable.filter(visible));
        result.hidden = result.elements.length ? [] : usable;
      } catch (error) {
        if (!(error instanceof DOMException)) throw error;
        result.invalid = true;
      }
      results.push(result);
    }
    return results;
  }

  function editable(elements) {
    const fields = elements.map((element) => (element instanceof HTMLLabelElement ? element.control ?? element : element));
    const fit = fields.filter((element) => element.matches(EDITABLE));
    return fit.length ? [...new Set(fit)] : elements;
  }

  /** Names that the recorded selectors give the target: [{name, role, text}]. */
  function recordedNames(selectors) {
    const names = [];
    for (const selector of selectors) {
      const parts = (typeof selector === 'string' ? [selector] : selector).map(parse);
      const last = parts.at(-1);
      if (last?.kind === 'text') names.push({name: squeeze(last.value), role: '', text: true});
      const named = parts.filter((part) => part.kind === 'aria' && part.name).at(-1);
      if (named) names.push({name: named.name, role: named.role, text: false});
    }
    return names;
  }

  /** Whether the element still bears a recorded name, itself or what it is part of; digits are live data. */
  function bearsName(element, {name, text}) {
    const wanted = folded(withoutDigits(name));
    const control = controlOf(element);
    for (let node = element; node; node = parentOf(node)) {
      const own = folded(withoutDigits(text ? textOf(node) : nameOf(node)));
      if (own === wanted || (text && own.startsWith(wanted) && name.length >= 12)) return true;
      // Up to the control, or to the nearest thing with a name of its own.
      if (node === control || (!control && own)) break;
    }
    return false;
  }

  function decide(selectors, type) {
    const results = resolve(selectors, type);
    const resolved = results.filter((one) => one.elements.length).sort((a, b) => b.trust - a.trust || a.index - b.index);
    const report = {state: 'missing', trust: 0, agreeing: 0, total: results.length, index: null, foundName: ''};
    const verdict = (state, elements) => ({report: {...report, state}, elements});
    if (!resolved.length) {
      const hidden = results.flatMap((one) => one.hidden);
      if (hidden.length) return verdict('hidden', [...new Set(hidden)]);
      return verdict(results.length && results.every((one) => one.invalid) ? 'invalid' : 'missing', []);
    }
    const best = resolved[0];
    if (best.elements.length > 1) return verdict(best.trust < ENOUGH ? 'weak' : 'ambiguous', best.elements);
    let element = best.elements[0];
    const agrees = (one) => one.elements.some((other) => sameControl(other, element));
    if (!resolved.every(agrees)) {
      const rivals = resolved.filter((one) => one.elements.length === 1).map((one) => one.elements[0]);
      return verdict('conflict', collapse([...new Set(rivals)]).slice(0, 5));
    }
    const unique = resolved.filter((one) => one.elements.length === 1);
    element = unique.map((one) => one.elements[0]).reduce(preferred);
    if (type === 'change') element = editable([element, controlOf(element) ?? element]).find((one) => one.matches(EDITABLE)) ?? element;
    const names = recordedNames(selectors);
    const isField = element.matches(EDITABLE);
    const judged = names.filter((one) => !(one.text && isField));
    if (judged.length && !judged.some((one) => bearsName(element, one))) {
      report.foundName = nameOf(controlOf(element) ?? element) || clip(wordsOf(element), 80);
      return verdict('renamed', [element]);
    }
    if (!namesTrusted(best, names, element)) return verdict('weak', [element]);
    report.trust = best.trust;
    report.agreeing = unique.length;
    report.index = best.index;
    return verdict('found', [element]);
  }

  /** Positions and generated ids are not enough; other digits in a name need an id without digits beside them. */
  function namesTrusted(best, names, element) {
    if (best.trust < ENOUGH) return false;
    const exact = names.some(({name, text}) => {
      const shown = new Set();
      for (let node = element; node; node = parentOf(node)) {
        shown.add(folded(withoutCounts(text ? textOf(node) : nameOf(node))));
        if (node === controlOf(element)) break;
      }
      return [...shown].some((one) => one === folded(withoutCounts(name)) || (text && one.startsWith(folded(name))));
    });
    if (exact || !names.some(({name}) => /\d/.test(name))) return true;
    const selector = [best.selector].flat().join(' ');
    return (best.trust === TRUST.testid || best.trust === TRUST.id) && !/\d/.test(selector.replace(/data-\w+/, ''));
  }

  // ---------------------------------------------------------------- telling candidates apart

  function ownName(element) {
    return nameOf(element) || clip(wordsOf(element), 60) || squeeze(element.getAttribute('placeholder') ?? element.getAttribute('name'));
  }

  const KINDS = {
    textbox: 'field', searchbox: 'search field', spinbutton: 'number field', combobox: 'list', listbox: 'list',
    button: 'button', link: 'link', checkbox: 'checkbox', radio: 'choice', menuitem: 'menu item', tab: 'tab',
    option: 'option', heading: 'heading', image: 'picture', img: 'picture', switch: 'switch', cell: 'cell',
  };

  function describe(element) {
    const kind = KINDS[roleOf(element)] ?? (element.matches(EDITABLE) ? 'field' : 'element');
    const name = clip(ownName(element), 80);
    const row = closest(parentOf(element) ?? element, ROW);
    let where = '';
    if (row && row !== element) {
      const legend = row.matches('fieldset') ? wordsOf(row.querySelector('legend') ?? row) : nameOf(row) || rowText(row, element);
      if (legend) where = ` in “${clip(legend, 80)}”`;
    } else {
      const section = closest(element, 'form, section, nav, header, footer, main, aside');
      const heading = section && (nameOf(section) || wordsOf(section.querySelector('h1, h2, h3, h4') ?? document.createElement('p')));
      if (heading && heading !== name) where = ` under “${clip(heading, 60)}”`;
    }
    return `${kind}${name ? ` “${name}”` : ''}${where}`;
  }

  function rowText(row, element) {
    const cells = row.matches('tr, [role="row"]') ? [...row.children] : [row];
    return cells.map((cell) => (contains(cell, element) && cells.length > 1 ? '' : wordsOf(cell))).filter(Boolean).join(' · ');
  }

  const quoted = (text) => (text.includes('"') ? (text.includes("'") ? null : `'${text}'`) : `"${text}"`);
  const attributeCss = (name, value) => `[${name}="${CSS.escape(value)}"]`;

  function* selectorsFor(element) {
    const shadow = element.getRootNode() instanceof ShadowRoot;
    const css = (selector) => (shadow ? 'pierce/' : '') + selector;
    for (const {name, value} of element.attributes) if (TEST_ID.test(`[${name}=`)) yield css(attributeCss(name, value));
    const name = nameOf(element);
    const role = roleOf(element);
    if (name && name.length <= 120 && !/[[\]]/.test(name)) yield `aria/${name}` + (role && role !== 'generic' ? `[role="${role}"]` : '');
    if (element.id) yield css('#' + CSS.escape(element.id));
    const tag = element.localName;
    for (const attribute of ['name', 'aria-label', 'placeholder', 'title', 'href']) {
      const value = element.getAttribute(attribute);
      if (!value) continue;
      yield css(tag + attributeCss(attribute, value));
      if (attribute === 'name' && element.getAttribute('value')) {
        yield css(tag + attributeCss('name', value) + attributeCss('value', element.getAttribute('value')));
      }
    }
    if (!shadow) yield* rowPaths(element);
    yield css(positionPath(element) + PICKED);
  }

  /** XPaths by the words of the row or item the element is in. */
  function* rowPaths(element) {
    const row = closest(parentOf(element) ?? element, 'tr, [role="row"], li, [role="listitem"], fieldset, article');
    if (!row || element.namespaceURI !== 'http://www.w3.org/1999/xhtml') return;
    const target = element.localName + targetPredicate(element);
    const words = [...row.querySelectorAll('*')].filter((inner) => !contains(inner, element) && !contains(element, inner) && !inner.children.length);
    for (const inner of words) {
      const text = quoted(squeeze(inner.textContent));
      if (text && text.length > 2 && text.length <= 82) yield `xpath///${row.localName}[.//*[normalize-space()=${text}]]//${target}`;
    }
    const text = quoted(clip(squeeze(row.textContent), 60).replace(/…$/, ''));
    if (text && text.length > 2) yield `xpath///${row.localName}[starts-with(normalize-space(), ${text})]//${target}`;
  }

  function targetPredicate(element) {
    const text = quoted(squeeze(element.textContent));
    if (text && text.length > 2 && text.length <= 62 && !(element instanceof HTMLSelectElement)) return `[normalize-space()=${text}]`;
    for (const attribute of ['aria-label', 'title', 'type', 'name']) {
      const value = quoted(element.getAttribute(attribute) ?? '');
      if (value && value.length > 2) return `[@${attribute}=${value}]`;
    }
    return '';
  }

  function positionPath(element) {
    const steps = [];
    for (let node = element; node; node = node.parentElement) {
      const twins = node.parentNode ? [...node.parentNode.children].filter((other) => other.localName === node.localName) : [node];
      steps.unshift(CSS.escape(node.localName) + (twins.length > 1 ? `:nth-of-type(${twins.indexOf(node) + 1})` : ''));
    }
    return steps.join(' > ');
  }

  function candidate(element, type) {
    for (const selector of selectorsFor(element)) {
      const {report, elements} = decide([selector], type);
      if (report.state === 'found' && elements[0] === element) return {selector, description: describe(element), box: boxOf(element)};
    }
    return null;
  }

  function candidates(elements, type) {
    const found = [];
    for (const element of elements.slice(0, 8)) {
      const one = candidate(element, type);
      if (one) found.push(one);
      if (found.length === 5) break;
    }
    for (const one of found) {
      const twins = found.filter((other) => other.description === one.description);
      if (twins.length > 1) twins.forEach((twin, index) => { twin.description += ` (${index + 1} of ${twins.length} from the top)`; });
    }
    return found;
  }

  // ---------------------------------------------------------------- what else the page has

  function likeness(a, b) {
    const [one, other] = [folded(a), folded(b)];
    if (!one || !other) return 0;
    const pairs = (text) => new Set([...text].slice(0, -1).map((letter, index) => letter + text[index + 1]));
    const [left, right] = [pairs(one), pairs(other)];
    const shared = [...left].filter((pair) => right.has(pair)).length;
    const dice = (2 * shared) / (left.size + right.size || 1);
    const inside = other.split(/\W+/).includes(one) || one.split(/\W+/).includes(other) || other.includes(one) || one.includes(other);
    return Math.max(dice, inside ? 0.75 : 0);
  }

  const keywords = (selectors) =>
    selectors.flat().filter((part) => !/^(aria|text)\//.test(part)).flatMap((part) => part.match(/[#.="'][A-Za-z][\w-]{2,}/g) ?? []).map((word) => word.slice(1).replace(/[-_]/g, ' '));

  /** Elements most like the one that was recorded: by name, then of the same kind. */
  function similar(selectors, type) {
    const names = recordedNames(selectors);
    const wanted = names.map((one) => one.name);
    const role = names.find((one) => one.role)?.role ?? '';
    const words = wanted.length ? [] : keywords(selectors);
    const pool = new Set();
    for (const element of deep(document)) if (element.matches(type === 'change' ? EDITABLE : CONTROL)) pool.add(element);
    const scored = [];
    for (const element of pool) {
      if (element instanceof HTMLLabelElement || element instanceof HTMLOptionElement || !visible(element)) continue;
      const name = ownName(element);
      const hints = [name, element.id, element.getAttribute('name')].map((hint) => String(hint ?? '').replace(/[-_]/g, ' '));
      const alike = Math.max(0, ...wanted.map((one) => likeness(one, name)), ...words.flatMap((word) => hints.map((hint) => likeness(word, hint))));
      const kind = role ? sameRole(roleOf(element), role) : type === 'change';
      if (alike >= 0.4 || kind) scored.push({element, name, alike, score: alike + (kind ? 0.2 : 0)});
    }
    scored.sort((a, b) => b.score - a.score);
    return {
      elements: scored.map((one) => one.element),
      name: scored.find((one) => one.alike >= 0.4)?.name ?? '',
    };
  }

  // ---------------------------------------------------------------- what locate.py calls

  function boxOf(element) {
    const {x, y, width, height} = element.getBoundingClientRect();
    return {x, y, width, height};
  }

  function intoView(element) {
    const {top, left, bottom, right} = element.getBoundingClientRect();
    if (top < 0 || left < 0 || bottom > innerHeight || right > innerWidth) {
      element.scrollIntoView({block: 'center', inline: 'nearest', behavior: 'instant'});
    }
  }

  const sleep = (milliseconds) => new Promise((resume) => { setTimeout(resume, milliseconds); });

  /** Waits up to `wait` ms for a sure answer. A question must have stood for a second: pages move while they load. */
  async function locate({selectors, type, wait, patience}) {
    const end = performance.now() + wait;
    let asking = null;
    let outcome = decide(selectors, type);
    for (;;) {
      const now = performance.now();
      // Until the document is read, a look-alike may still come.
      if (outcome.report.state === 'found' && document.readyState !== 'loading') break;
      if (now >= end) break;
      const question = !['found', 'missing', 'hidden', 'invalid'].includes(outcome.report.state) && document.readyState === 'complete';
      asking = question ? asking ?? now : null;
      if (asking !== null && now - asking >= patience) break;
      await sleep(Math.min(25, end - now));
      outcome = decide(selectors, type);
    }
    return finish(outcome, selectors, type);
  }

  function finish({report, elements}, selectors, type) {
    report.title = document.title;
    report.name = recordedNames(selectors)[0]?.name ?? '';
    report.similar = '';
    report.candidates = [];
    if (report.state === 'found') {
      const [element] = elements;
      intoView(element);
      report.box = boxOf(element);
      report.byLabel = diagnose(element).labelled;
      report.plain = !element.matches('canvas, svg, svg *, img, map, area, video, [role="slider"], input[type="range"]');
      report.password = element.matches('input[type="password"]');
      if (type === 'change') report.field = field(element);
      count += 1;
      kept = {token: `${performance.timeOrigin} ${count}`, element};
      return {...report, token: kept.token};
    }
    if (elements.length && report.state !== 'hidden') {
      intoView(elements[0]);
      report.count = elements.length;
      report.candidates = candidates(elements, type);
    } else if (report.state === 'missing' || report.state === 'hidden') {
      const others = similar(selectors, type);
      report.similar = others.name;
      report.candidates = candidates(others.elements, type);
    }
    if (report.state === 'renamed' && report.candidates.length) {
      const others = similar(selectors, type).elements.filter((other) => !elements.includes(other));
      report.candidates = [...report.candidates, ...candidates(others.slice(0, 4), type)];
    }
    return report;
  }

  // The latest element that was found, so that using it does not begin with searching it again.
  let kept = {token: '', element: null};
  let count = 0;
  const keptElement = (token) => (kept.token === token && kept.element.isConnected ? kept.element : null);

  /** For waitForElement: does what the selectors find fit `count`, `operator`, properties and attributes? */
  function matches({selectors, count, operator, properties, attributes}) {
    let elements = [];
    for (const selector of selectors) {
      elements = query(selector).elements.filter(visible);
      if (elements.length) break;
    }
    const fits = {'>=': elements.length >= count, '==': elements.length === count, '<=': elements.length <= count}[operator];
    const same = (actual, wanted) => (wanted !== null && typeof wanted === 'object'
      ? actual !== null && typeof actual === 'object' && Object.entries(wanted).every(([key, value]) => same(actual[key], value))
      : actual === wanted);
    return Boolean(fits) && elements.every((element) =>
      same(element, properties ?? {}) && Object.entries(attributes ?? {}).every(([key, value]) => element.getAttribute(key) === value));
  }

  /** Why an action on the element may not work: {attached, visible, disabled, readonly, cover, labelled}. */
  function diagnose(element) {
    const box = element.getBoundingClientRect();
    let top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    while (top?.shadowRoot?.elementFromPoint) {
      const inner = top.shadowRoot.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      if (!inner || inner === top) break;
      top = inner;
    }
    const covered = top && !contains(element, top) && !contains(top, element);
    const cover = covered ? closest(top, 'dialog, [role="dialog"], [role="alertdialog"], [id], [class]') ?? top : null;
    return {
      attached: element.isConnected,
      visible: visible(element),
      disabled: Boolean(closest(element, ':disabled, [aria-disabled="true"]')),
      readonly: Boolean(element.readOnly || element.getAttribute('aria-readonly') === 'true'),
      cover: cover ? clip(nameOf(cover) || wordsOf(cover) || ownName(top) || cover.id || cover.localName, 60) : null,
      labelled: Boolean(covered && top.closest('label')?.control === element),
    };
  }

  /** What kind of field it is, for `change`. Options are [value, label, disabled]. */
  function field(element) {
    const options = element instanceof HTMLSelectElement
      ? [...element.options].map((option) => [option.value, squeeze(option.label), option.disabled || Boolean(option.closest('optgroup')?.disabled)])
      : null;
    return {
      tag: element.localName,
      type: element instanceof HTMLInputElement ? element.type : '',
      role: roleOf(element),
      editable: element.isContentEditable || element.matches('input, textarea, select'),
      options,
      checked: element.checked === true,
      maxlength: element.maxLength > 0 ? element.maxLength : null,
      empty: (element.value ?? element.textContent) === '',
    };
  }

  Object.defineProperty(globalThis, KEY, {
    value: Object.freeze({locate, matches, diagnose, field, keptElement}), configurable: true, enumerable: false,
  });
})();
