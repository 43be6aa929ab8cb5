// Talks to Django REST framework as its documentation shows it: by an absolute path, with the
// token of the cookie in a header.
const saved = document.querySelector("#saved");
function token() {
  return decodeURIComponent((document.cookie.match(/(?:^|; )csrftoken=([^;]*)/) || [])[1] || "");
}
async function show() {
  const [answer] = await (await fetch(saved.dataset.api)).json();
  saved.textContent = answer ? `${window.course}: ${answer.text}` : "nothing";
  return answer;
}
async function shout() {
  const answer = await show();
  await fetch(`${saved.dataset.api}${answer.id}/`, {
    method: "PATCH",
    headers: {"Content-Type": "application/json", "X-CSRFToken": token()},
    body: JSON.stringify({text: answer.text.toUpperCase()}),
  });
  await show();
}
if (saved) {
  show();
  document.querySelector("#shout").addEventListener("click", shout);
}
