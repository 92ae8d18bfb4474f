"""The list that viewers are served: asked as a server would be, measured, and held against other lists."""
