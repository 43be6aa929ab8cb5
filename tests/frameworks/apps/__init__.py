"""One tool, written in each framework as its own users would write it.

Every module has the tool as `app`, with the middleware around it or in its stack, and `site`, what
the servers of the tests run: the tool at the root and, mounted by means of the framework's world,
at `MOUNT`. The routes are the same everywhere:

| route | answers with |
| --- | --- |
| `GET /` | `"home"` |
| `GET /launch`, `POST /launch` | `report`, the query as the framework gives it |
| `GET /items/<name>` (the view is called `item`) | `report`, and the name it was given |
| `GET /folder/` | `report`; asked without the slash, some frameworks redirect |
| `GET /go` | the framework's own redirect to the item "first" |
| `GET /views/<kind>` | `report` from a view of that kind (`sync`, `async`) |
| `GET /stream` | `chunk` three times, from a generator that runs after the view has returned |
| `GET /later?key=…` | `"begun"`; then, when the answer is out, `record` |
| `GET /recorded?key=…&times=…` | what was recorded, waiting for it |
| `GET /required` | `report` of `require_launch()` |
| websocket `/socket/<name>` | `report` once it is open, then once more per message |
"""
