// Where a table is wider than its frame, it is first set closer; if that is not enough, each of its lines becomes a block of
// cells with their labels (page.css). Measured instead of set by a width of the window, so that a table stays one as long as
// it fits.
'use strict';
{
  const frame = document.querySelector('.frame');
  let fitted = 0;

  const fit = () => {
    if (frame.clientWidth === fitted || !frame.clientWidth) return; // without a width while the page is printed
    fitted = frame.clientWidth;
    const tables = [...document.querySelectorAll('.scroll')]; // asked again: printing puts copies in their place
    tables.forEach((table) => table.classList.remove('close', 'blocks'));
    let wide = tables;
    for (const form of ['close', 'blocks']) {
      wide = wide.filter((table) => table.scrollWidth > table.clientWidth + 1);
      wide.forEach((table) => table.classList.add(form));
    }
    wide.forEach((table) => table.classList.remove('close'));
  };

  fit();
  new ResizeObserver(fit).observe(frame);
}
