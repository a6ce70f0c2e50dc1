// Sets the report on pages of A4 when it is printed, by a reader or as PDF. A browser alone moves a figure that does not
// fit to the next page and leaves a gap. Here the exhibits of a section are put in the order that fills the pages best and
// departs least from that of the report; none leaves its section. Tables break between lines, figures stand side by side
// where they fit, one with room beside it has its caption there, and figures grow into what is left of a page.
'use strict';
const WIDTH = 1031, HEIGHT = 725; // CSS pixels: a landscape A4 less the margins of the style sheet
const SEVEN = 1.04; // times the width at which the smallest letter of a figure has 9 CSS pixels: 7 points
const BESIDE = 0.8; // of the width: a figure up to here has its caption beside it
const GAP = 23; // CSS pixels between figures that stand side by side
const LARGEST = 1.5; // times: growth of a figure
const ABOVE = 36, TAIL = 3; // CSS pixels of lines of a table above a page's end, fewest lines below it
const FEW = 80; // CSS pixels of text: less, about five lines, has no page of its own at the end
const AHEAD = 3, STATES = 120; // sections for which the order is planned at a time, orders that are kept at each step
// Costs of an empty page (a half has a quarter of it), of a page's share beside figures, of a torn table, of an exhibit set
// before one that precedes it, and if their numbers are then out of order:
const EMPTY = 100, SPARSE = 12, TORN = 0.3, PASSED = 4, NUMBERED = 5;

function onPaper() { // the rules for print hold, those for narrow windows do not; returns how to undo it
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule instanceof CSSMediaRule);
  const before = rules.map((rule) => rule.media.mediaText);
  for (const rule of rules) rule.media.mediaText = rule.media.mediaText === 'print' ? 'all' : 'not all';
  return () => rules.forEach((rule, place) => { rule.media.mediaText = before[place]; });
}

const make = (classes) => Object.assign(document.createElement('div'), { className: classes });
const shown = (element) => element.offsetParent !== null && element.offsetHeight > 0;
const LINES = '.scroll, ul.findings'; // what breaks between its lines
const linesOf = (element) => (element.matches('ul') ? [...element.children] : [...element.querySelectorAll('tbody tr')]);
const continued = (title) => Object.assign(make('continued'), { textContent: `${title}, continued` });

class Setter {
  constructor(frame) {
    this.frame = frame;
    this.turn();
  }

  turn() { // a new page
    if (this.page) this.grow();
    this.page = make('page');
    this.frame.append(this.page);
  }

  fits() { return this.page.scrollHeight <= HEIGHT && this.page.offsetHeight <= HEIGHT; }
  alone(elements) { return this.page.children.length === elements.length; }

  unit(elements) { // headings and what they stand above
    const row = elements.find((element) => element.matches('.row'));
    const lines = elements.find((element) => element.matches(LINES));
    if (row && elements.length === 1 && this.beside(row)) return;
    if (!lines) { this.flow(elements); return; }
    const at = elements.indexOf(lines);
    this.lines(elements.slice(0, at), lines, linesOf(lines), elements.slice(at + 1));
  }

  beside(row) { // figures beside those that precede them; false if they do not fit
    const last = this.page.lastElementChild, exhibits = [...row.children];
    if (!last?.matches('.row')) return false;
    const width = Number(last.dataset.width) + GAP + Number(row.dataset.width), classes = last.className;
    if (width > WIDTH) return false;
    last.className = 'row';
    last.append(...exhibits);
    if (this.fits()) { last.dataset.width = width; return true; }
    row.append(...exhibits);
    last.className = classes;
    return false;
  }

  flow(elements) { // elements that stay together
    this.page.append(...elements);
    if (this.fits() || this.alone(elements)) return;
    elements.forEach((element) => element.remove());
    this.turn();
    this.page.append(...elements);
  }

  lines(before, whole, items, after) { // what breaks between its lines: headings, element, lines, text below
    const title = before.find((element) => element.matches('h3'))?.textContent.split('. ')[0];
    let rest = [...items];
    let above = before;
    while (rest.length) {
      const part = whole.cloneNode(true), inside = part.matches('ul') ? part : part.querySelector('tbody');
      inside.replaceChildren();
      this.page.append(...above, part);
      const first = this.alone([...above, part]);
      let taken = 0;
      while (taken < rest.length) {
        inside.append(rest[taken]);
        if (!this.fits()) { rest[taken].remove(); break; }
        taken += 1;
      }
      if (taken === rest.length) this.page.append(...after);
      if (taken === rest.length && this.fits()) return;
      after.forEach((element) => element.remove());
      taken = torn(taken, rest.length, inside === part, first);
      inside.replaceChildren(...rest.slice(0, taken));
      if (taken && (inside === part || inside.offsetHeight >= ABOVE || first)) {
        rest = rest.slice(taken);
        above = title ? [continued(title)] : [];
      } else {
        inside.replaceChildren();
        part.remove();
        above.forEach((element) => element.remove());
      }
      this.turn();
    }
    if (after.length) this.flow(after); // below a line that is higher than a page
  }

  grow() { // figures take what is left of the page
    const rows = [...this.page.querySelectorAll('.row')];
    for (let grow = 1.02; rows.length && grow <= LARGEST; grow += 0.02) {
      const wide = rows.filter((row) => grow * row.dataset.width <= WIDTH);
      if (!wide.length) return;
      const before = wide.map((row) => [row, row.className, row.style.getPropertyValue('--grow') || 1]);
      for (const row of wide) {
        row.style.setProperty('--grow', grow);
        if (row.matches('.beside') && grow * row.dataset.width > BESIDE * WIDTH) row.className = 'row alone';
      }
      if (this.fits()) continue;
      before.forEach(([row, classes, size]) => { row.className = classes; row.style.setProperty('--grow', size); });
      return;
    }
  }

  end() {
    this.grow();
    const last = this.page, before = last.previousElementSibling;
    if (!before || last.offsetHeight >= FEW) return;
    const parts = [...last.children];
    before.classList.add('tight'); // a few lines go to the page before, whose lines move together
    before.append(...parts);
    this.page = before;
    if (this.fits()) { last.remove(); return; }
    before.classList.remove('tight');
    last.append(...parts);
    this.page = last;
  }
}

function torn(taken, all, list, first) { // how many of all lines, of which `taken` fit, stand above the end of a page
  const even = list && taken > 1 ? taken - (taken % 2) : taken; // of a list two stand side by side
  const kept = Math.min(even, all - Math.min(TAIL, all)); // some stay above the text below
  return kept || !first ? kept : Math.max(1, Math.min(taken, all - 1)); // on a page of their own one at least
}

function fixColumns(table) { // a table that is torn keeps the widths of its columns
  const cells = [...(table.tBodies[0].rows[0]?.cells ?? [])];
  const columns = document.createElement('colgroup');
  for (const cell of cells) {
    const column = document.createElement('col');
    column.style.width = `${cell.getBoundingClientRect().width}px`;
    columns.append(column);
  }
  const width = table.getBoundingClientRect().width;
  table.prepend(columns);
  table.style.cssText += `table-layout: fixed; width: ${width}px; max-width: none`;
}

const imageOf = (row) => Math.max(...[...row.querySelectorAll('img')].map((image) => image.offsetHeight));

// What the planner knows: of figures the width, the height of their row, that with the captions below, and by how much they
// can grow; of what breaks, the heights of its lines and of what is above and below them; of the rest the height.
function measure(unit, height) {
  const row = unit.find((element) => element.matches('.row')), lines = unit.find((element) => element.matches(LINES));
  const number = (row ?? unit[0]).textContent.trim().match(/^(Table|Figure) \d/)?.[1];
  if (row) {
    const whole = height([row]), classes = row.className, width = Number(row.dataset.width);
    row.className = 'row';
    const under = height([row]), image = imageOf(row);
    row.className = classes;
    return { unit, number, row, width, whole, under, image };
  }
  if (!lines) return { unit, number, whole: height(unit) };
  const items = linesOf(lines), whole = height(unit), tops = items.map((item) => item.getBoundingClientRect().top);
  const list = lines.matches('ul'), end = (list ? lines : lines.querySelector('tbody')).getBoundingClientRect().bottom;
  const heights = items.map((_, place) => (tops[place + 1] ?? end) - tops[place]);
  const at = unit.indexOf(lines), below = height(unit.slice(at + 1)), above = whole - below - (end - tops[0]);
  const again = above - height(unit.slice(0, at)) + height([continued('Name')]); // on the next page
  return { unit, number, list, heights, below, above, again };
}

const sparse = (height, width) => SPARSE * (height / HEIGHT) * (1 - width / WIDTH);
const growth = (image, width) => image * (Math.min(LARGEST, WIDTH / width) - 1);

function close(state) { // the state on a new page, with the cost of what the growth of figures leaves empty
  const room = HEIGHT - state.fill, grown = Math.min(room, state.gain);
  return { ...state, cost: state.cost + EMPTY * ((room - 0.8 * grown) / HEIGHT) ** 2, fill: 0, gain: 0, row: null };
}

function placed(state, item, head) { // the state after a unit below a heading of a section, if `head` has a height
  const { row } = state;
  if (item.row && row && !head && row.width + GAP + item.width <= WIDTH) {
    const [under, image] = [Math.max(row.under, item.under), Math.max(row.image, item.image)];
    const joined = { ...row, width: row.width + GAP + item.width, under, image };
    const gain = state.gain + growth(joined.image, joined.width) - growth(row.image, row.width);
    const cost = state.cost + sparse(joined.under, joined.width) - sparse(row.under, row.width);
    if (row.top + joined.under <= HEIGHT) return { ...state, cost, fill: row.top + joined.under, gain, row: joined };
  }
  if (!item.heights) {
    const at = state.fill && state.fill + head + item.whole > HEIGHT ? close(state) : state;
    const fill = at.fill + head + item.whole;
    if (!item.row) return { ...at, fill, row: null };
    const own = { width: item.width, top: at.fill + head, under: item.under, image: item.image };
    const cost = at.cost + sparse(item.under, item.width);
    return { ...at, cost, fill, gain: at.gain + growth(item.image, item.width), row: own };
  }
  let at = { ...state, row: null }, rest = item.heights, above = head + item.above;
  for (;;) {
    let taken = 0, height = 0;
    const room = HEIGHT - at.fill - above, first = !at.fill, sum = rest.reduce((total, one) => total + one, 0);
    if (sum + item.below <= room) return { ...at, fill: at.fill + above + sum + item.below };
    while (taken < rest.length && height + rest[taken] <= room) height += rest[taken++];
    taken = torn(taken, rest.length, item.list, first);
    height = rest.slice(0, taken).reduce((total, one) => total + one, 0);
    if (taken && (item.list || height >= ABOVE || first)) {
      rest = rest.slice(taken);
      above = item.again;
      at = close({ ...at, fill: HEIGHT - room + height, cost: at.cost + TORN });
      if (!rest.length) return { ...at, fill: item.below };
    } else {
      at = close(at);
    }
  }
}

function plan(sections, fill, gain) { // the order of the first section's units that fills the pages best
  let states = [{ cost: 0, fill, gain, row: null, order: [] }];
  sections.slice(0, AHEAD).forEach(({ items, height }, section) => {
    states = states.map((state) => ({ ...state, done: new Set() }));
    for (let step = 0; step < items.length; step += 1) {
      const next = new Map();
      for (const state of states) {
        items.forEach((item, place) => {
          const passed = items.slice(0, place).filter((_, other) => !state.done.has(other));
          if (state.done.has(place) || (!item.row && passed.some((other) => !other.row))) return; // texts keep their order
          const after = placed(state, item, step ? 0 : height);
          const jumbled = passed.filter((other) => item.number && other.number === item.number).length;
          after.cost += PASSED * passed.length + NUMBERED * jumbled;
          after.done = new Set(state.done).add(place);
          if (!section) after.order = [...state.order, place];
          const page = [Math.round(after.fill / 8), Math.round(after.gain / 30), after.row?.width];
          const key = [[...after.done].sort(), ...page].join();
          if (!(next.get(key)?.cost <= after.cost)) next.set(key, after);
        });
      }
      states = [...next.values()].sort((one, other) => one.cost - other.cost).slice(0, STATES);
    }
  });
  return states[0].order;
}

function units(elements) { // those that stay together in one list
  const list = [];
  for (const element of elements) {
    const last = list[list.length - 1];
    const heading = last?.every((other) => other.matches('h1, h3') && !other.matches('.under'));
    const below = element.matches('.under') && last?.[last.length - 1].matches('.scroll, .absent');
    const beside = element.matches('.half') && last?.[last.length - 1].matches('.half') && element.querySelector('table');
    if (heading || below || beside) last.push(element);
    else list.push([element]);
  }
  return list.flatMap((unit) => {
    if (unit.some((element) => element.matches('.exhibit'))) return [unit];
    const halves = unit.filter((element) => element.matches('.half'));
    if (halves.length < 2) { // alone it has the width of the page
      halves.forEach((half) => half.classList.remove('half'));
      return [unit];
    }
    const pair = make('pair');
    halves[0].before(pair);
    pair.append(...halves);
    return [[...unit.filter((element) => !halves.includes(element)), pair]];
  });
}

function rows(list) { // figures in rows; the pictures of one exhibit in one, or below its name in those that follow
  let title = '', row = null;
  return list.flatMap((unit) => {
    const exhibit = unit.find((element) => element.matches('.exhibit'));
    if (!exhibit) { row = null; return [unit]; }
    const width = SEVEN * parseFloat(exhibit.querySelector('img').style.getPropertyValue('--width'));
    exhibit.style.setProperty('--paper', `${width}px`);
    const name = exhibit.querySelector('h3')?.textContent, together = row && Number(row.dataset.width) + GAP + width;
    title = name ?? title;
    if (!name && together <= WIDTH) {
      row.append(exhibit);
      row.className = 'row';
      row.dataset.width = together;
      return [];
    }
    if (!name) exhibit.prepend(continued(title));
    row = make(`row ${width <= BESIDE * WIDTH ? 'beside' : 'alone'}`);
    row.dataset.width = width;
    exhibit.before(row);
    row.append(exhibit);
    return [unit.map((element) => (element === exhibit ? row : element))];
  });
}

function sectionsOf(main) { // what stands below each heading of a section, and the heading with its text
  const flat = [...main.children].flatMap((element) => (element.matches('section') ? [...element.children] : [element]));
  const sections = [{ head: [], body: [] }];
  for (const element of flat.filter(shown)) {
    if (element.matches('h2')) sections.push({ head: [element], body: [] });
    else if (element.matches('h2 + p')) sections[sections.length - 1].head.push(element);
    else sections[sections.length - 1].body.push(element);
  }
  return sections;
}

function set(main) {
  main.querySelectorAll('.scroll table').forEach(fixColumns);
  const pages = document.body.appendChild(make('pages')), scratch = pages.appendChild(make('page'));
  const height = (elements) => { scratch.replaceChildren(make('first'), ...elements); return scratch.offsetHeight; };
  const sections = sectionsOf(main).map(({ head, body }) => {
    const items = rows(units(body)).map((unit) => measure(unit, height));
    return { head, items, height: height(head) };
  });
  scratch.remove();
  const setter = new Setter(pages);
  sections.forEach(({ head, items }, place) => {
    const gains = [...setter.page.querySelectorAll('.row')].map((row) => growth(imageOf(row), row.dataset.width));
    const order = plan(sections.slice(place), setter.page.offsetHeight, gains.reduce((sum, gain) => sum + gain, 0));
    if (!order.length) setter.flow(head);
    order.forEach((item, step) => setter.unit(step ? items[item].unit : [...head, ...items[item].unit]));
  });
  setter.end();
  document.querySelector('.frame').remove();
  document.querySelector('.up')?.remove();
}

let undo = null;

addEventListener('beforeprint', () => {
  if (undo) return;
  const [frame, up, main] = ['.frame', '.up', 'main'].map((name) => document.querySelector(name));
  const copy = main.cloneNode(true), place = scrollY, onScreen = onPaper(); // the pages are made of the original
  document.body.classList.add('set');
  set(main);
  undo = () => {
    document.querySelector('.pages').remove();
    document.body.classList.remove('set');
    onScreen();
    main.replaceWith(copy);
    document.body.prepend(frame);
    document.body.append(up);
    scrollTo({ top: place, behavior: 'instant' });
  };
});

addEventListener('afterprint', () => {
  undo?.();
  undo = null;
});
