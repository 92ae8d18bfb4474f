"""The set-up that commands of the Makefile begin with: uv in .tools/, Python 3.10 and packages in .venv/.

Any Python 3 runs it (`python3 -m bootstrap` in the folder above), so it uses the standard library alone and
the syntax of Python 3.6.
"""
