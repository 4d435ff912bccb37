"""The main job, shown: a whole cloud in namespaces of its own, used as a user would, and taken away again."""
