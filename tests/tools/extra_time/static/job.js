// Watches a job until it has ended.
const status = document.querySelector("#status");
async function look() {
  const answer = await fetch(status.dataset.job);
  const job = await answer.json();
  status.textContent = job.status === "finished" ? `finished: ${job.result.given.join(", ")}` : job.status;
  if (["queued", "started"].includes(job.status)) setTimeout(look, 200);
}
if (status) look();
