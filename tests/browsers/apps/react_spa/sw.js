// As a PWA's: navigations from the shell that was cached at the first visit.
const shell = () => caches.open("shell").then((cache) => cache.match("/").then((hit) => hit ?? fetch("/")));
addEventListener("install", (event) =>
  event.waitUntil(caches.open("shell").then((cache) => cache.add("/"))));
addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate") event.respondWith(shell());
});
