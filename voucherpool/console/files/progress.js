// Renews a page that says how far something is, until it is done.
const pause = 2000;
const renew = async () => {
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
  } finally {
    if (document.querySelector("[data-renews]")) setTimeout(renew, pause);
  }
};
setTimeout(renew, pause);
