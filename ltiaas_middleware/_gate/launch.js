// ltiaas-launch.js: does what headers cannot do for an app in an LMS's iframe. See docs/reference/script.md.
(() => {
  const { launches, exclude, shared } = /*settings*/ {};
  const found = new RegExp(`^(.*?)${launches}/([\\w-]{22})(?=/|$)`).exec(location.pathname);
  const { launch: named, cookies: given } = self.document?.currentScript?.dataset ?? {};
  if (!found || self.ltiaas || (named && !named.endsWith(found[2]))) return;
  const [base, mount, id] = found;
  // Other launches, the middleware's own paths, and excluded paths.
  const outside = new RegExp(`^(${launches}/([\\w-]{22}(/|$)|ltiaas-)|(${exclude})(/|$))`, "i");
  const schemes = [location.protocol, location.protocol.replace("http", "ws")];
  const send = self.fetch.bind(self);

  // -- keeping URLs inside the launch: workers also get this part --------------------------------

  const baseURI = () => self.document?.baseURI ?? location.href;

  // A URL on the page, resolved into the launch, or null if it is not part of this launch.
  const inLaunch = (to) => {
    let url;
    try {
      url = new URL(to, baseURI());
    } catch {
      return null;
    }
    const path = url.pathname;
    if (url.host !== location.host || !schemes.includes(url.protocol)) return null;
    if (path.startsWith(`${base}/`)) return url;
    const below = path.slice(mount.length);
    if (!path.startsWith(`${mount}/`) || outside.test(below)) return null;
    url.pathname = base + below;
    return url;
  };

  const stay = (to) => {
    if (typeof to !== "string" && !(to instanceof URL)) return to;
    const url = inLaunch(to);
    return url && url.href !== new URL(to, baseURI()).href ? url.href : to;
  };

  const wrap = (owner, name, at) => {
    if (!owner?.[name]) return;
    const kept = (values) => values.map((value, index) => (index === at ? stay(value) : value));
    owner[name] = new Proxy(owner[name], {
      apply: (was, self, values) => Reflect.apply(was, self, kept(values)),
      construct: (was, values, target) => Reflect.construct(was, kept(values), target),
    });
  };
  for (const name of ["fetch", "Request", "WebSocket", "EventSource", "Worker", "SharedWorker"]) wrap(self, name, 0);
  wrap(self.XMLHttpRequest?.prototype, "open", 1);
  wrap(self.Navigator?.prototype, "sendBeacon", 0);
  for (const name of ["pushState", "replaceState"]) wrap(self.History?.prototype, name, 2);

  // -- in pages alone ---------------------------------------------------------------------------

  // A service worker for the whole site would answer the requests of every later launch in this browser.
  const workers = self.ServiceWorkerContainer?.prototype;
  if (workers) {
    const { register } = workers;
    workers.register = async function (to, options) {
      if (stay(to) === to) return register.call(this, to, options);
      throw new DOMException("outside the launch", "SecurityError");
    };
  }

  // -- links, forms and windows -----------------------------------------------------------------

  const openTab = open.bind(window);
  const has = (element, name) => element?.hasAttribute(name);

  const isForeign = (other) => {
    try {
      return other.location.origin !== location.origin;
    } catch {
      return true;
    }
  };
  const framed = isForeign(top);

  // Whether the browser does not send the iframe's cookies to this target.
  const leaves = (target) => {
    if (!framed || !target || /^_self$/i.test(target) || target === self.name) return false;
    if (/^_parent$/i.test(target)) return isForeign(parent);
    return /^_/.test(target) || !document.getElementsByName(target).length;
  };

  const oneTime = async (url) => {
    try {
      const to = encodeURIComponent(url.pathname.slice(base.length) + url.search + url.hash);
      const answer = await send(`${base}/ltiaas-one-time-link?to=${to}`, { method: "POST" });
      if (answer.ok) return new URL((await answer.json()).url, location).href;
    } catch {}
    // Fall back to the plain URL, whose page says how to get back.
    return url.href;
  };

  // Whether a click is the script's own.
  let own = false;
  // Follow a copy of the link, so that rel, referrerpolicy and download still apply.
  const follow = (page, href, link, target) => {
    const copy = page.createElement("a");
    copy.href = href;
    copy.target = target;
    for (const name of ["rel", "referrerpolicy", "download"])
      if (has(link, name)) copy.setAttribute(name, link.getAttribute(name));
    page.documentElement.append(copy);
    own = true;
    copy.click();
    own = false;
    copy.remove();
  };

  // Opens a URL in the launch with a one-time link. Returns false if the browser blocks the new tab.
  const lead = (url, target, link) => {
    if (has(link, "download") || /^_(top|parent)$/i.test(target)) {
      oneTime(url).then((href) => follow(document, href, link, target));
      return true;
    }
    // Open the tab during the click: later, the browser would block it.
    const tab = openTab("", target);
    if (!tab) return false;
    oneTime(url).then((href) => {
      try {
        if (/^_blank$/i.test(target)) tab.opener = null;
        follow(tab.document, href, link, "");
      } catch {
        // There is already a tab with that name, which shows another site.
        tab.location.replace(href);
      }
    });
    return true;
  };

  // Change the attribute only while the browser reads it, so that the app always sees its own value.
  const briefly = (element, name, value) => {
    const before = element.getAttribute(name);
    element.setAttribute(name, value);
    setTimeout(() => element.setAttribute(name, before));
  };

  const targetOf = (target) => target || document.querySelector("base[target]")?.target || "";

  const onClick = (event) => {
    const middle = event.type === "auxclick";
    if (event.defaultPrevented || own || event.button !== +middle) return;
    const link = event.composedPath().find((node) => /^(a|area)$/i.test(node.localName) && node.href);
    const to = link && (link.href.baseVal ?? link.href);
    const url = link && inLaunch(to);
    if (!url) return;
    const newTab = (event.ctrlKey || event.metaKey || event.shiftKey) && !event.altKey;
    const target = middle || newTab ? "_blank" : targetOf(link.getAttribute("target"));
    if (leaves(target) || (framed && has(link, "download"))) {
      if (lead(url, target, link)) event.preventDefault();
    } else if (stay(to) !== to) briefly(link, has(link, "href") ? "href" : "xlink:href", url.href);
  };

  // Whether the form opens with a one-time link. Otherwise, this moves its action into the launch.
  const submitted = (form, how) => {
    const where = (name) => (has(how, `form${name}`) ? [how, `form${name}`] : [form, name]);
    const read = (name) => Element.prototype.getAttribute.call(...where(name)) ?? "";
    const method = read("method").toLowerCase();
    const action = read("action");
    const url = inLaunch(action || location.href);
    if (!url || method === "dialog") return false;
    const target = targetOf(read("target"));
    if (method !== "post" && leaves(target)) {
      const fields = [...new FormData(form, how ?? null)].map(([name, value]) => [name, value.name ?? value]);
      url.search = new URLSearchParams(fields);
      return lead(url, target);
    }
    if (action && stay(action) !== action) briefly(...where("action"), url.href);
    return false;
  };

  const onSubmit = (event) => {
    if (!event.defaultPrevented && submitted(event.target, event.submitter)) event.preventDefault();
  };
  addEventListener("click", onClick);
  addEventListener("auxclick", onClick);
  addEventListener("submit", onSubmit);
  // No event of a link outside the document, and no submission in a shadow tree, reaches the window.
  const { click, attachShadow } = HTMLElement.prototype;
  HTMLElement.prototype.click = function () {
    if (!this.isConnected) this.addEventListener("click", onClick, { once: true });
    click.call(this);
  };
  HTMLElement.prototype.attachShadow = function (how) {
    const root = attachShadow.call(this, how);
    root.addEventListener("submit", onSubmit);
    return root;
  };
  const forms = HTMLFormElement.prototype;
  const { submit } = forms;
  forms.submit = function () {
    if (!submitted(this)) submit.call(this);
  };

  // location = "/x", and links whose clicks do not reach onClick.
  self.navigation?.addEventListener("navigate", (event) => {
    const { destination, navigationType: type } = event;
    const to = stay(destination.url);
    if (!event.cancelable || event.formData || event.downloadRequest !== null || destination.sameDocument) return;
    if (!/^(push|replace)$/.test(type) || to === destination.url) return;
    event.preventDefault();
    location[type === "push" ? "assign" : "replace"](to);
  });

  self.open = function (to = "", target = "_blank", features = "") {
    const url = to === "" ? null : inLaunch(to);
    if (!url || !leaves(target || "_blank")) return openTab(stay(to), target, features);
    const loud = features.split(",").filter((part) => !/\bno(opener|referrer)\b/i.test(part)).join();
    const tab = openTab("", target, loud);
    const quiet = loud !== features;
    if (tab && quiet) tab.opener = null;
    if (tab) oneTime(url).then((href) => tab.location.replace(href));
    return quiet ? null : tab;
  };

  // -- cookies: scripts read and set only this launch's cookies -----------------------------------

  // What cookies.py makes of a Set-Cookie; one table of cases tests both.
  const tag = `${id.slice(0, 8)}.`;
  const decoded = (path) => `${unescape(unescape(encodeURIComponent(path))).replace(/\/+$/, "")}/`;
  // Null beside the mount point.
  const pathInLaunch = (path) => {
    const [to, from, above] = [path, base, mount].map(decoded);
    if (!/^\/[^"]*$/.test(path)) return base;
    if (to.startsWith(from)) return path;
    if (from.startsWith(to)) return base;
    return to.startsWith(above) ? [base, ...path.split("/").slice(mount.split("/").length)].join("/") : null;
  };
  const nameOf = (pair) => pair.split("=")[0].trim();
  const isShared = (pair) => shared.includes(nameOf(pair));

  const shown = (pair) => (pair.startsWith(tag) ? pair.slice(tag.length) : isShared(pair) ? pair : undefined);
  const forLaunch = (text) => {
    const [pair, ...rest] = text.split(";").map((part) => part.trim());
    const those = (names) => rest.filter((one) => RegExp(`^(${names})\\s*(=|$)`, "i").test(one));
    const path = pathInLaunch(those("path").pop()?.replace(/^.*?(=\s*|$)/, "") ?? "");
    const whole = pair.includes("=") ? pair : `=${pair}`;
    if (!pair || isShared(whole) || path === null) return text;
    const replaced = those("secure|samesite|partitioned");
    const dropped = [...replaced, ...those("path|domain|")];
    return [
      tag + whole,
      `Path=${path}`,
      ...rest.filter((one) => !dropped.includes(one)),
      ...(isSecureContext || schemes[0] === "https:" ? ["Secure; SameSite=None; Partitioned"] : replaced),
    ].join("; ");
  };

  // The cookies by name, if the browser blocks cookies and the middleware stores them.
  const jar = given === undefined ? null : new Map(given.split("; ").map((pair) => [nameOf(pair), pair]));
  const keep = (text) => {
    const pair = text.split(";")[0].trim();
    const end = /; *expires *=([^;]*)/i.exec(text)?.[1];
    jar[/; *max-age *=\s*[-0]/i.test(text) || Date.parse(end) <= Date.now() ? "delete" : "set"](nameOf(pair), pair);
    // Wait for it: the app's next request may need the cookie. While a page is left, browsers refuse.
    const to = `${base}/ltiaas-cookies`;
    const header = ["LTIAAS-Cookie", encodeURIComponent(text)];
    const ask = new XMLHttpRequest();
    try {
      ask.open("POST", to, false);
      ask.setRequestHeader(...header);
      ask.send();
    } catch {
      send(to, { method: "POST", keepalive: true, headers: [header] }).catch(() => {});
    }
  };

  const cookie = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
  Object.defineProperty(Document.prototype, "cookie", {
    ...cookie,
    get() {
      const pairs = jar ? [...jar.values()] : cookie.get.call(this).split("; ").map(shown);
      return pairs.filter(Boolean).join("; ");
    },
    set(text) {
      const sent = forLaunch((text = String(text)));
      if (jar && sent !== text) keep(text);
      else cookie.set.call(this, sent);
    },
  });

  const store = self.CookieStore?.prototype;
  if (store) {
    const { getAll, set } = store;
    const put = (self, what) => {
      const path = pathInLaunch(what.path ?? "/");
      if (isShared(what.name) || path === null) return set.call(self, what);
      const forced = { domain: null, sameSite: "none", partitioned: true };
      return set.call(self, { ...what, ...forced, name: tag + what.name, path });
    };
    const asked = (what, value) => (typeof what === "object" ? what : { name: what, value });
    Object.assign(store, {
      async getAll(what) {
        const wanted = asked(what)?.name;
        const all = (await getAll.call(this)).map((one) => ({ ...one, name: shown(one.name) }));
        return all.filter(({ name }) => name !== undefined && (wanted ?? name) === name);
      },
      async get(what) {
        return (await this.getAll(what))[0] ?? null;
      },
      set(what, value) {
        return put(this, asked(what, value));
      },
      delete(what) {
        return put(this, { ...asked(what), value: "", expires: 0 });
      },
    });
  }

  // -- storage ----------------------------------------------------------------------------------

  // A browser that blocks all cookies also refuses storage, without which some apps do not start.
  // This lasts as long as the page.
  class Kept {
    getItem(key) {
      return Object.hasOwn(this, key) ? this[key] : null;
    }
    setItem(key, value) {
      this[key] = `${value}`;
    }
    removeItem(key) {
      delete this[key];
    }
    clear() {
      for (const key in this) delete this[key];
    }
    key(index) {
      return Object.keys(this)[index] ?? null;
    }
    get length() {
      return Object.keys(this).length;
    }
  }
  for (const name of ["sessionStorage", "localStorage"])
    try {
      self[name];
    } catch {
      Object.defineProperty(self, name, { value: new Kept() });
    }

  // -- the LMS around the iframe ----------------------------------------------------------------

  // Canvas and Brightspace read objects, others strings; Moodle and 1EdTech use the longer names.
  const tell = (name, more) => {
    const lms = parent === self ? opener : parent;
    const message = { subject: `lti.${name}`, ...more };
    for (const form of [message, { ...message, subject: `org.imsglobal.lti.${name}` }, JSON.stringify(message)])
      lms?.postMessage(form, "*");
  };
  self.ltiaas = {
    path: base,
    resize: (height) => {
      const { offsetHeight, scrollHeight, clientHeight } = document.documentElement;
      tell("frameResize", { height: height ?? Math.max(offsetHeight, scrollHeight > clientHeight ? scrollHeight : 0) });
    },
    scrollToTop: () => tell("scrollToTop"),
    close: () => tell("close"),
  };
  addEventListener("DOMContentLoaded", () => {
    if (framed && document.querySelector("[data-auto-resize]"))
      new ResizeObserver(() => ltiaas.resize()).observe(document.documentElement);
  });
})();
