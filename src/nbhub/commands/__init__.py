"""What a person types after `nbhub`: one table of commands; each is loaded only when it is called.

A command reads its words, calls a room or a module beside the rooms, and prints; what it does stands there, not here.
"""
