"""A Streamlit script: it runs in a thread of Streamlit's, for each websocket."""

from __future__ import annotations

import streamlit as st

from ltiaas_middleware import launch_from

launch = launch_from(st.context.headers)
user = launch.id_token.user.name if launch else "nobody"
st.title(user)
note = st.text_input("Note")
if st.button("Save"):
    st.write(f"{user} saved {note}")
