// Where a figure would have to move sideways, as on a phone, its panels are shown one after the other: the same picture
// through windows, in the sizes that topokd/paper/pieces.py has found. Panels without names of their own come with those of
// their row's first panel.
'use strict';
{
  const PHONE = matchMedia('(max-width: 700px)'), LETTER = 9, GAP = 6, FRAME = 4; // CSS pixels; FRAME as in pieces.py
  const GROWTH = 1.25; // times: of panels, where a line has room
  const TALL = 45; // points: what is less high is a title or a legend, and does not grow
  const frame = document.querySelector('.frame');
  let shown = 0;

  const element = (name, style, ...inside) => {
    const made = document.createElement(name);
    Object.assign(made.style, style);
    made.append(...inside);
    return made;
  };

  const cut = (view) => {
    const image = view.querySelector('img'), [width, height, pieces] = JSON.parse(view.dataset.pieces);
    const needed = parseFloat(image.style.getPropertyValue('--width')), room = view.clientWidth - FRAME;
    view.classList.remove('cut');
    view.querySelector('.pieces')?.remove();
    if (needed <= view.clientWidth || !(PHONE.matches || view.matches('.wider'))) return;
    const parts = pieces.map(([letter, ...boxes]) => ({
      letter, boxes, tall: boxes[0][3] - boxes[0][1] > TALL, wide: boxes.reduce((sum, [left, , right]) => sum + right - left, 0),
    }));
    const scale = needed / width, widest = Math.max(...parts.map((part) => (part.letter ? part.wide : 0)));
    const beside = Math.max(1, Math.floor((room + GAP) / (widest * scale + GAP)));
    const grown = Math.max(scale, Math.min(GROWTH * scale, (room - (beside - 1) * GAP) / (beside * widest)));
    const windows = parts.map(({ letter, boxes, tall, wide }) => {
      const least = letter ? LETTER / letter : 0; // pixels per point
      const size = Math.max(least, Math.min(tall ? grown : scale, room / wide));
      return element('div', {}, ...boxes.map(([left, top, right, bottom]) => {
        const picture = element('img', {
          width: `${width * size}px`, height: `${height * size}px`, left: `${-left * size}px`, top: `${-top * size}px`,
        });
        picture.alt = '';
        picture.src = image.src;
        return element('span', { width: `${(right - left) * size}px`, height: `${(bottom - top) * size}px` }, picture);
      }));
    });
    const all = element('div', {}, ...windows);
    all.className = 'pieces';
    all.setAttribute('role', 'img');
    all.setAttribute('aria-label', image.alt);
    view.append(all);
    view.classList.add('cut');
  };

  const fit = () => {
    if (frame.clientWidth === shown || !frame.clientWidth) return; // without a width while the page is printed
    shown = frame.clientWidth;
    document.querySelectorAll('.view[data-pieces]').forEach(cut); // asked again: printing puts copies in their place
  };

  fit();
  new ResizeObserver(fit).observe(frame);
}
