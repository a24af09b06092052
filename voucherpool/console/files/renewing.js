// Renews the parts of a page that change by themselves. `data-renews` says after how many seconds.
const parts = () => [...document.querySelectorAll("[data-renews]")];
const targets = (part) => [...part.querySelectorAll("a, button, summary")];

const replace = (part, fresh) => {
  const focused = targets(part).indexOf(document.activeElement);
  part.replaceWith(fresh);
  targets(fresh)[focused]?.focus();
};

const renew = async () => {
  try {
    if (document.hidden) return;
    const answer = await fetch(location.href);
    if (answer.redirected) location.reload(); // the session has ended
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts()) replace(part, page.getElementById(part.id) ?? part);
  } finally {
    later();
  }
};

const later = () => {
  const seconds = parts().map((part) => Number(part.dataset.renews));
  if (seconds.length) setTimeout(renew, 1000 * Math.min(...seconds));
};

later();
