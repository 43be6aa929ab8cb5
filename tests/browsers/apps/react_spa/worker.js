onmessage = async ({ data }) => {
  const me = await (await fetch("/api/me")).json();
  postMessage(`${me.name} saved ${data}`);
};
