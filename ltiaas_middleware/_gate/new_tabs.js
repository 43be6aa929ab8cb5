// Opens links of a launch in new tabs.
//
// In an LMS's iframe the launch's cookie stays behind when a link is opened in a new tab. This
// script turns such a click into a handoff: an address that opens the launch once, within a minute.
// Load it from the launch's own path: <launch path>/ltiaas-new-tabs.js
(() => {
  "use strict";
  const own = document.currentScript || document.querySelector('script[src*="/ltiaas-new-tabs.js"]');
  // In a tab of its own the tool has its cookies, and so has every further tab.
  if (!own || window.top === window) return;
  const base = new URL(".", own.src);

  const linkOf = (event) =>
    event.composedPath().find((node) => node instanceof HTMLAnchorElement && node.href);

  const opensTab = (event, link) => {
    if (event.type === "auxclick") return event.button === 1;
    if (event.button !== 0 || event.altKey) return false;
    if (event.ctrlKey || event.metaKey || event.shiftKey) return true;
    const target = link.target || document.querySelector("base[target]")?.target || "";
    if (target === "" || /^_(self|parent|top)$/i.test(target)) return false;
    return /^_blank$/i.test(target) || !document.getElementsByName(target).length;
  };

  const go = (tab, link, address) => {
    // From a link in the new tab, so that rel and referrerpolicy hold as they do for the original.
    const copy = tab.document.createElement("a");
    copy.href = address;
    copy.rel = link.rel;
    copy.referrerPolicy = link.referrerPolicy;
    tab.document.documentElement.append(copy);
    copy.click();
  };

  const open = async (event) => {
    if (event.defaultPrevented) return;
    const link = linkOf(event);
    if (!link || link.hasAttribute("download") || !opensTab(event, link)) return;
    const url = new URL(link.href);
    if (url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) return;
    // Now, in the click: later the browser would block it.
    const tab = window.open("", "_blank");
    if (!tab) return;
    event.preventDefault();
    let address = link.href;
    try {
      const to = `/${url.pathname.slice(base.pathname.length)}${url.search}${url.hash}`;
      const answer = await fetch(`${base}ltiaas-handoff?to=${encodeURIComponent(to)}`, {
        method: "POST",
        credentials: "same-origin",
      });
      if (answer.ok) address = new URL((await answer.json()).url, base).href;
    } catch {
      // The plain link then: its page says how to come back.
    }
    try {
      tab.opener = null;
      go(tab, link, address);
    } catch {
      tab.location.replace(address);
    }
  };

  document.addEventListener("click", open);
  document.addEventListener("auxclick", open);
})();
