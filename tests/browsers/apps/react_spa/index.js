const { createElement: h, useEffect, useState } = React;
const basename = window.ltiaas?.path ?? "/";
const route = () => location.pathname.slice(basename.replace(/\/$/, "").length);

// Inlined by Vite as new URL("./worker.js", import.meta.url).
const worker = new Worker(new URL("/assets/worker.js", import.meta.url), { type: "module" });
const ask = (note) =>
  new Promise((done) => {
    worker.onmessage = ({ data }) => done(data);
    worker.postMessage(note);
  });

navigator.serviceWorker?.register("/sw.js").then(
  () => (document.body.dataset.serviceWorker = "registered"),
  () => (document.body.dataset.serviceWorker = "refused"),
);

function App() {
  const [path, go] = useState(route());
  const [name, setName] = useState("");
  const [note, setNote] = useState("");
  const [said, setSaid] = useState("");
  useEffect(() => {
    const back = () => go(route());
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);
  useEffect(() => {
    fetch("/api/me").then((answer) => answer.json()).then((me) => setName(me.name));
  }, [path]);
  const follow = (event) => {
    event.preventDefault();
    history.pushState({}, "", basename.replace(/\/$/, "") + "/results");
    go(route());
  };
  return h("main", null,
    h("h1", { id: "shown" }, `${name} at ${path}`),
    h("input", { id: "note", value: note, onInput: (event) => setNote(event.target.value) }),
    h("button", { id: "save", onClick: async () => setSaid(await ask(note)) }, "Save"),
    h("p", { id: "said" }, said),
    h("a", { id: "next", href: "/results", onClick: follow }, "Results"));
}

ReactDOM.createRoot(document.getElementById("root")).render(h(App));
