// Sets the report on pages of A4 when it is printed, by a reader or as PDF. A browser alone moves a figure that does not
// fit to the next page and leaves a gap; here, as in LaTeX, what follows fills the gap and the figure comes later. Figures
// stand side by side where they fit, a figure with room beside it has its caption there, and figures grow into what is left
// of a page. A table that is torn goes on at the top of the next page, above the figures that wait.
'use strict';
const WIDTH = 1031, HEIGHT = 725; // CSS pixels: a landscape A4 less the margins of the style sheet
const SEVEN = 1.04; // times the width at which the smallest letter of a figure has 9 CSS pixels: 7 points
const BESIDE = 0.8; // of the width: a figure up to here has its caption beside it
const ROOM = 0.24; // of the height: nothing else is set below figures that leave less
const LARGEST = 1.35; // times: growth of a figure
const ABOVE = 45, TAIL = 3; // CSS pixels of lines of a table above a page's end, fewest lines below it
const FEW = 80; // CSS pixels of text: less, about five lines, has no page of its own at the end
const START = 220; // CSS pixels that a section's heading with some lines of its first table needs

function onPaper() { // the rules for print hold, those for narrow windows do not; returns how to undo it
  const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule instanceof CSSMediaRule);
  const before = rules.map((rule) => rule.media.mediaText);
  for (const rule of rules) rule.media.mediaText = rule.media.mediaText === 'print' ? 'all' : 'not all';
  return () => rules.forEach((rule, place) => { rule.media.mediaText = before[place]; });
}

const make = (classes) => Object.assign(document.createElement('div'), { className: classes });
const shown = (element) => element.offsetParent !== null && element.offsetHeight > 0;

class Setter {
  constructor(frame) {
    this.frame = frame;
    this.waiting = []; // figures that did not fit
    this.open();
  }

  blank() { // a new page
    if (this.page) this.grow();
    this.page = make('page');
    this.frame.append(this.page);
  }

  open() { // a new page, with the figures that wait at its top
    this.blank();
    this.release(true);
    if (this.full() && this.waiting.length) this.open();
  }

  release(force = false) { // what waits, as far as it fits
    while (this.waiting.length && this.figure(this.waiting[0], force && this.page.children.length === 0)) this.waiting.shift();
  }

  turn() { // a new page with room for text
    this.open();
    if (this.full()) this.open();
  }

  room() { return HEIGHT - this.page.offsetHeight; }
  fits() { return this.page.scrollHeight <= HEIGHT && this.page.offsetHeight <= HEIGHT; }
  full() { return this.page.children.length > 0 && this.page.offsetHeight > (1 - ROOM) * HEIGHT; }

  figure(group, force = false) { // headings, if any, and a figure; false if it does not fit
    const exhibit = group[group.length - 1], last = this.page.lastElementChild;
    const width = SEVEN * parseFloat(exhibit.querySelector('img').style.getPropertyValue('--width'));
    exhibit.style.setProperty('--paper', `${width}px`);
    if (group.length === 1 && last?.matches('.row') && Number(last.dataset.width) + 23 + width <= WIDTH) {
      last.append(exhibit);
      last.className = 'row';
      if (this.fits()) { last.dataset.width = Number(last.dataset.width) + 23 + width; return true; }
      exhibit.remove();
      last.className = last.dataset.alone;
    }
    const row = make(`row ${width <= BESIDE * WIDTH ? 'beside' : 'alone'}`);
    Object.assign(row.dataset, { width, alone: row.className });
    row.append(exhibit);
    const block = [...group.slice(0, -1), row];
    this.page.append(...block);
    if (this.fits() || force) return true;
    block.forEach((element) => element.remove());
    return false;
  }

  flow(elements) { // elements that stay together: headings and the text below them
    this.page.append(...elements);
    if (this.fits()) return;
    elements.forEach((element) => element.remove());
    this.turn();
    this.page.append(...elements);
    if (!this.fits() && this.page.children.length > elements.length) { // a page of its own, below no figure
      elements.forEach((element) => element.remove());
      this.open();
      this.page.append(...elements);
    }
  }

  lines(before, whole, items, after) { // what breaks between its lines: headings, element, lines, text below
    const title = before.find((element) => element.matches('h3'))?.textContent.split('. ')[0];
    let rest = [...items];
    let above = before;
    while (rest.length) {
      const part = whole.cloneNode(true), inside = part.matches('ul') ? part : part.querySelector('tbody');
      inside.replaceChildren();
      this.page.append(...above, part);
      let taken = 0;
      while (taken < rest.length) {
        inside.append(rest[taken]);
        if (!this.fits()) { rest[taken].remove(); break; }
        taken += 1;
      }
      if (taken === rest.length) this.page.append(...after);
      if (taken === rest.length && this.fits()) { this.release(); return; }
      after.forEach((element) => element.remove());
      if (inside === part && taken > 1) taken -= taken % 2; // of a list two stand side by side
      taken = Math.min(taken, rest.length - Math.min(TAIL, rest.length)); // some lines above the text below
      [...inside.children].slice(taken).forEach((line) => line.remove());
      const enough = taken > 0 && (inside === part || inside.offsetHeight >= ABOVE || this.page.children.length === above.length + 1);
      if (!enough) inside.replaceChildren();
      if (enough) {
        rest = rest.slice(taken);
        above = title ? [Object.assign(make('continued'), { textContent: `${title}, continued` })] : [];
        this.blank();
      } else {
        part.remove();
        above.forEach((element) => element.remove());
        this.turn();
      }
    }
  }

  grow() { // figures take what is left of the page
    const rows = [...this.page.querySelectorAll('.row')].filter((row) => row.querySelector('img'));
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
    while (this.waiting.length) this.open();
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

function units(main) { // the report's elements in order, those that stay together in one list
  const flat = [...main.children].flatMap((element) => (element.matches('section') ? [...element.children] : [element]));
  const list = [];
  for (const element of flat.filter(shown)) {
    const last = list[list.length - 1];
    const heading = last?.every((other) => other.matches('h1, h2, h3, h2 + p') && !other.matches('.under'));
    const below = element.matches('.under') && last?.[last.length - 1].matches('.scroll, .absent');
    const beside = element.matches('.half') && last?.[last.length - 1].matches('.half') && element.querySelector('table');
    if (heading || below || beside) last.push(element);
    else list.push([element]);
  }
  return list;
}

function set(main) {
  main.querySelectorAll('.scroll table').forEach(fixColumns);
  const list = units(main), setter = new Setter(document.body.appendChild(make('pages')));
  list.forEach((unit, place) => {
    const exhibit = unit.find((element) => element.matches('.exhibit'));
    const table = unit.find((element) => element.matches('.scroll, ul.findings'));
    const ahead = setter.waiting.some((group) => group.some((element) => element.matches('h2')));
    if (!exhibit && ahead) while (setter.waiting.length) setter.open(); // nothing comes before the heading of its section
    if (exhibit) {
      if (!setter.waiting.length && setter.figure(unit)) return;
      const next = list.slice(place + 1).find((other) => !other.some((element) => element.matches('.exhibit')));
      const text = unit.length > 1 && setter.room() > START && next && !next[0].matches('h2, p');
      if (text) next.unshift(...unit.slice(0, -1)); // the section's heading stands above its first table instead
      setter.waiting.push(text ? [exhibit] : unit);
    } else if (table) {
      const at = unit.indexOf(table), items = table.matches('ul') ? [...table.children] : [...table.querySelectorAll('tbody tr')];
      setter.lines(unit.slice(0, at), table, items, unit.slice(at + 1));
    } else if (unit.filter((element) => element.matches('.half')).length > 1) {
      const row = make('pair');
      row.append(...unit.filter((element) => element.matches('.half')));
      setter.flow([...unit.filter((element) => !element.matches('.half')), row]);
    } else {
      unit.forEach((element) => element.classList.remove('half')); // alone it has the width of the page
      setter.flow(unit);
    }
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
