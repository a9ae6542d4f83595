# What the image starts with until a file of your own is mounted over this one: anybody may come by invitation, and
# notebook servers are pods of the namespace that the hub runs in.
c = get_config()  # noqa: F821

c.Hub.ip = "0.0.0.0"
c.Hub.hub_ip = "0.0.0.0"
c.Hub.data_dir = "/data"
c.Hub.spawner_class = "kubernetes"
