"""``doctor``: are the settings right, does the tool work in an LMS, and if not, what to fix?

It follows a launch, one step at a time: settings, address, connection, certificate, LTIAAS itself,
API key; then Redis and the database; on request the running tool. No finding holds a secret.
"""

from .examination import examine as examine
from .finding import Finding as Finding
from .finding import report as report
from .finding import verdict as verdict
