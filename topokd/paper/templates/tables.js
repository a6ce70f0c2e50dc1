// Where a table is wider than its frame, each of its lines becomes a block of cells with their labels (page.css). Measured
// instead of set by a width of the window, so that a table stays one as long as it fits.
'use strict';
{
  const frame = document.querySelector('.frame');
  let fitted = 0;

  const fit = () => {
    if (frame.clientWidth === fitted || !frame.clientWidth) return; // without a width while the page is printed
    fitted = frame.clientWidth;
    const tables = [...document.querySelectorAll('.scroll')]; // asked again: printing puts copies in their place
    tables.forEach((table) => table.classList.remove('blocks'));
    const wide = tables.filter((table) => table.scrollWidth > table.clientWidth + 1);
    wide.forEach((table) => table.classList.add('blocks'));
  };

  fit();
  new ResizeObserver(fit).observe(frame);
}
