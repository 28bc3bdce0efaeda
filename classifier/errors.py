"""What can go wrong, in two kinds: the files of an artefact, and the rows a user brings."""


class ClassifierError(ValueError):
    """The root of this package's errors; its text is one line that names the mend."""


class ArtifactError(ClassifierError):
    """An artefact folder that is damaged, of the wrong shape, too large or too new."""


class DataError(ClassifierError):
    """Rows that cannot be trained on or evaluated, with the file and the line at fault."""
