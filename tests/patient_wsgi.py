"""The application as the tests' gunicorn serves it: no busy machine ends its retries too early."""

import os

from tests.patience import be_patient
from voucherpool import create_app
from voucherpool.database import retries

be_patient()
retries.most_attempts = int(os.environ.get("MOST_ATTEMPTS", retries.most_attempts))
app = create_app()
