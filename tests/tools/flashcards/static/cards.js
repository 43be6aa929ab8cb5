const deck = `/api/decks/${document.body.dataset.deck}`;
const said = document.querySelector("#said");

async function ask(path, options) {
  const answer = await fetch(`${deck}/${path}`, options);
  return answer.json();
}

document.querySelector("#cards")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answers = Object.fromEntries(new FormData(event.target));
  const result = await ask("answers", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({answers}),
  });
  said.textContent = `${result.right} of ${result.of} right`;
});

const results = document.querySelector("#results");
if (results) {
  for (const one of await ask("results")) {
    const item = document.createElement("li");
    item.textContent = `${one.name}: ${one.right ?? "nothing yet"}`;
    results.append(item);
  }
  document.querySelector("#grade").addEventListener("click", async () => {
    const {sent, refused} = await ask("grades", {method: "POST"});
    said.textContent = `sent ${sent}, refused ${Object.keys(refused).length}`;
  });
}
