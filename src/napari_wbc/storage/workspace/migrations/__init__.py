"""Steps from each version of the project file to the next, run by alembic."""
