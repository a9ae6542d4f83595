# The hub of compose.yaml. `docker compose exec hub nbhub reload -f /etc/nbhub/nbhub_config.py` after a change.
import os
from pathlib import Path
from urllib.parse import quote

c = get_config()  # noqa: F821

secrets = Path(os.environ.get("SECRETS", "/run/secrets"))
password = (secrets / "database").read_text().strip()

c.Hub.ip = "0.0.0.0"
c.Hub.data_dir = "/data"
c.Hub.db_url = f"postgresql://nbhub:{quote(password, safe='')}@database/nbhub"
c.Hub.cookie_secret_file = str(secrets / "hub")
c.Hub.log_json = True

# Where people reach it, when it is not http://MACHINE:8000:
# c.Hub.public_url = "https://hub.example.org/"

# Servers end with the container, so let them end in order.
c.Hub.spawner_class = "simple"
c.Hub.cleanup_servers = True
c.Hub.idle_timeout = "12h"
