# Replaces the file of the image, so it says all.
c = get_config()  # noqa: F821

c.Hub.ip = "0.0.0.0"
c.Hub.hub_ip = "0.0.0.0"
c.Hub.data_dir = "/data"
c.Hub.spawner_class = "kubernetes"
c.Hub.idle_timeout = "2h"
