// Marks in the contents what is being read, and keeps the mark in sight; the way back to the top is shown below it.
'use strict';
{
  const nav = document.querySelector('nav'), links = [...nav.querySelectorAll(':scope > a[href^="#"]')];
  let marked = null;

  const up = document.querySelector('.up');
  const mark = () => {
    up.hidden = scrollY < innerHeight; // at the top it only covers text
    const read = (link) => document.getElementById(link.hash.slice(1))?.getBoundingClientRect().top <= innerHeight / 3;
    const end = scrollY > 0 && innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const current = end ? links[links.length - 1] : (links.findLast(read) ?? links[0]);
    if (current === marked) return;
    marked?.removeAttribute('aria-current');
    marked = current;
    current.setAttribute('aria-current', 'true');
    const above = current.offsetTop - nav.scrollTop; // scrollIntoView would move a phone's page as well
    if (above < 60 || above > nav.clientHeight - 60) nav.scrollTop = current.offsetTop - nav.clientHeight / 2;
  };

  addEventListener('scroll', mark, { passive: true });
  addEventListener('load', mark);
}
