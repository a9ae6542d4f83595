"""A service that tells visitors who they are; needs tornado and jupyterhub, in an environment of notebook servers."""

import asyncio
import os
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado.web import Application, RequestHandler, authenticated


class Whoami(HubOAuthenticated, RequestHandler):
    @authenticated
    def get(self):
        model = self.get_current_user()
        self.write({"name": model["name"], "scopes": sorted(model["scopes"]), "pid": os.getpid()})


async def main():
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    app = Application(
        [(prefix + "oauth_callback", HubOAuthCallbackHandler), (prefix + ".*", Whoami)],
        cookie_secret=os.urandom(32),
    )
    where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    app.listen(where.port, where.hostname)
    await asyncio.Event().wait()


asyncio.run(main())
