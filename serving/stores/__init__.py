"""Where versions are kept: a POSIX file system or an object store, behind one interface."""
