"""Settings of a hub whose users choose among profiles, for pages without a cluster: what is started is a fake."""

from __future__ import annotations

from servers.hub import PATIENT

SETTINGS = (
    PATIENT
    + '''
from nbhub.spawners.fake import FakeSpawner
from nbhub.spawners.kubernetes.profiled import ProfiledSpawner


class ProfiledFake(ProfiledSpawner, FakeSpawner):
    """Servers that run nowhere, chosen as pods are."""


SIZES = {
    "s": {"display_name": "Small", "description": "1 core, 2 GB", "kubespawner_override": {"mem_limit": "2G"}},
    "m": {
        "display_name": "Medium", "description": "2 cores, 8 GB", "default": True,
        "kubespawner_override": {"mem_limit": "8G"},
    },
    "l": {"display_name": "Large", "description": "8 cores, 32 GB", "kubespawner_override": {"mem_limit": "32G"}},
}
IMAGES = {
    f"y{year}": {"display_name": f"Course of {year}", "kubespawner_override": {"image": f"quay.io/course/lab:{year}"}}
    for year in range(2016, 2026)
}


async def profiles(spawner):
    found = [
        {
            "display_name": "Python for everybody",
            "description": "JupyterLab with the packages of the introduction, "
                           "<a href='https://example.org/packages'>see which</a>. Starts in seconds.",
            "default": True,
        },
        {
            "display_name": "Data science",
            "slug": "data",
            "description": "Python and R with everything for statistics.",
            "profile_options": {
                "size": {"display_name": "Size", "choices": SIZES},
                "year": {
                    "display_name": "Image", "choices": IMAGES,
                    "unlisted_choice": {
                        "enabled": True, "display_name": "Image of your own", "validation_regex": r"[\\w./-]+:[\\w.-]+",
                        "display_name_in_choices": "Another image ...",
                        "validation_message": "Its name and tag, such as quay.io/jupyter/scipy-notebook:2025-03-14.",
                        "kubespawner_override": {"image": "{value}"},
                    },
                },
            },
        },
        {
            "display_name": "Bring your own image",
            "slug": "own",
            "profile_options": {
                "image": {
                    "display_name": "Image",
                    "unlisted_choice": {
                        "enabled": True, "display_name": "Image", "validation_regex": "^.+:.+$",
                        "validation_message": "A name and a tag, with a colon between them.",
                        "kubespawner_override": {"image": "{value}"},
                    },
                },
                "memory": {
                    "display_name": "Memory",
                    "choices": {"2": {"display_name": "2 GB"}, "4": {"display_name": "4 GB"}},
                    "unlisted_choice": {
                        "enabled": True, "display_name": "Gigabytes", "validation_regex": "[0-9]{1,2}",
                        "validation_message": "A number of up to 99.",
                        "kubespawner_override": {"mem_limit": "{value}G"},
                    },
                },
            },
        },
    ]
    if "gpu" in [group.name for group in spawner.user.groups]:
        found.append({"display_name": "Graphics card", "slug": "gpu", "description": "One NVIDIA L4, 24 GB."})
    return found


c.Hub.spawner_class = ProfiledFake
c.Hub.cleanup_servers = False
c.ProfiledFake.profile_list = profiles
'''
)
