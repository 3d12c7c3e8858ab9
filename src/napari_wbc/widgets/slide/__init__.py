"""The slide on screen: folder, fields, project, and where the person is."""
