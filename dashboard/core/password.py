"""Which passwords are too weak to be set. No rules of composition: length, and not what everybody tries first."""

import re

SHORTEST = 8  # characters
RECOMMENDED = 15  # characters
_FEWEST_DIFFERENT = 4  # characters
LONGEST = 1024  # bytes; hashing more would only keep the machine busy

_COMMON = frozenset(
    """
    abc abcabc abcdef access account admin administrator alphabet baseball basketball batman changeit changeme
    charlie computer correcthorsebatterystaple dashboard database default demo dragon example flower football
    freedom guest hello hunter iloveyou internet jordan letmein login loveme manager master michael migration
    monkey mustang newpassword nothing operator oracle owner pass passphrase passw password passwordpassword
    pokemon postgres postgresql princess production qazwsx qwe qwer qwert qwerty qwertyui qwertyuiop asdf asdfgh
    asdfghjk asdfghjkl zxcv zxcvbn zxcvbnm root rung rungdashboard runner samsung secret server service shadow
    sample staging starwars student summer winter spring autumn sunshine superman supersecret superuser system
    temp temporary test tester testing trustno user username viewer welcome whatever
    """.split()  # noqa: SIM905  # a hundred words are read more easily without quotes
)
_LOOKALIKES = str.maketrans("013457@$!", "oleastasi")
_RUNS = ("01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba")


def weakness(password: str, email: str = "") -> str | None:
    """Why this may not be a password, as the end of "… because"; None where it may."""
    if len(password) < SHORTEST:
        return f"the password has fewer than {SHORTEST} characters"
    if len(password.encode(errors="surrogatepass")) > LONGEST:
        return f"the password has more than {LONGEST:,} bytes"
    if _is_common(password.casefold()) or _is_the_address(password.casefold(), email.casefold()):
        return "the password is one that is tried first; three or four unrelated words are better"
    return None


def _is_common(password: str) -> bool:
    """A common word, however it is spelt, and whatever digits and signs stand round it; or a row of keys."""
    spelt = {password, password.translate(_LOOKALIKES)}
    cores = {re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text) for text in spelt}
    cores |= {core.translate(_LOOKALIKES) for core in cores}
    bare = {re.sub(r"[\W_]+", "", core) for core in cores}
    if bare & _COMMON or any(_is_repeated(text) for text in {password, *bare} if text):
        return True
    return len(set(password)) < _FEWEST_DIFFERENT or any(password in run for run in _RUNS)


def _is_repeated(password: str) -> bool:
    """The same one to four characters again and again."""
    return len(password) > 1 and any(
        password == (password[:size] * len(password))[: len(password)]
        for size in (1, 2, 3, 4)
        if size * 2 <= len(password)
    )


def _is_the_address(password: str, email: str) -> bool:
    name = email.partition("@")[0]
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", password)
    return bool(email) and (password == email or core in {name, email})
