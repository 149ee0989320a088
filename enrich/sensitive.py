"""What secrets and personal data look like: one pattern for each form, and its check digits.

Patterns name the formats that their issuers publish. Every repetition is bounded or cannot start
inside itself, so that a megabyte written to be slow takes as long as any other.
"""

import re

SECRETS = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|(?:sk|rk|pk|whsec)_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|(?<![A-Za-z0-9])(?:"
    r"(?:sk|rk|pk|whsec)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{20,}"
    r"|sk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_-]{20,}|xai-[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}"
    r"|hf_[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}"  # models
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|gl(?:pat|rt|dt|ptt)-[\w-]{20,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    r"|https://hooks\.slack\.com/services/\S+"
    r"|https://(?:\w{1,20}\.)?discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{20,}"
    r"|[MNO][A-Za-z\d_-]{22,27}\.[\w-]{6}\.[\w-]{27,40}"  # Discord
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"  # AWS
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}"  # Google
    r"|SG\.[\w-]{16,}\.[\w-]{16,}"  # SendGrid
    r"|(?:SK|key-)[a-f0-9]{32}(?![A-Za-z0-9])"  # Twilio, Mailgun
    r"|npm_[A-Za-z0-9]{36}|pypi-[\w-]{40,}|dckr_pat_[\w-]{20,}"
    r"|dop_v1_[a-f0-9]{64}|hv[sb]\.[\w-]{20,}|dp\.(?:pt|st|ct|sa)\.[\w.-]{20,}"
    r"|dapi[a-f0-9]{32}|NRAK-[A-Z0-9]{20,}|sntry[su]_[\w+/=-]{20,}|ATATT3[\w=-]{20,}"
    r"|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|lin_(?:api|oauth)_[A-Za-z0-9]{32,}"
    r"|sq0(?:atp|csp)-[\w-]{20,}|AGE-SECRET-KEY-1[A-Z0-9]{50,}"
    r"|\d{8,10}:AA[\w-]{32,})",  # Telegram
    re.DOTALL,
)
TOKENS = re.compile(
    r"(?<![\w-])eyJ[\w-]{8,}+\s?\.\s?[\w-]{8,}+\s?\.\s?[\w-]*"  # JWT, also over two lines
    r"|(?<=bearer )[\w.~+/=-]{8,}|(?<=basic )[A-Za-z0-9+/=]{12,}",
    re.IGNORECASE,
)
HEADERS = re.compile(
    r"(?i)(?<![\w-])((?:proxy-)?authorization\s?[:=]\s?(?:[a-z]{3,12} )?+|(?:set-)?cookie\s?:\s?"
    r"|(?:--user|-u) (?=\S{1,99}:))(?!\[)([^\s\"'][^\n\"']{3,2000})"
)
NAMES = (
    r"(?:password|passwd|passwort|kennwort|wachtwoord|lösenord|hasło|senha|contraseña|şifre|pwd|pw"
    r"|passphrase|mot de passe|пароль|密码|密碼|パスワード|비밀번호|secret|token|api[_-]?key"
    r"|access[_-]?key|account[_-]?key|private[_-]?key|auth[_-]?key|credential"
    r"|pass(?==)|sess(?:ion)?[_-]?id(?==))"
)
A_NAME = re.compile(NAMES, re.IGNORECASE)
UNMASKED = r"(?!\[(?:secret|token)\])"
ASSIGNED = re.compile(
    rf"""(?ix)(
    (?<![\w-])[\w-]{{0,30}}{NAMES.replace(" ", "[ ]")}s?(?![\w-])\\?["']?\s{{0,3}}
    (?:[:=]|\b(?:is|ist|es|est|é|это)\b)\s{{0,3}}) {UNMASKED}
    (?: (?P<quote>\\?["'])[^"'\n]{{4,200}}(?=["'])
      | (?<==)[^\s"',;&<>]{{4,300}}
      | [A-Za-z]{{16,64}}(?![^\s"',;&<>.])
      | (?=[^\s"',;&<>]{{0,99}}[\d!@\#$%^&*_+=/-])[^\s"',;&<>]{{6,300}} )"""
)
IN_XML = re.compile(rf"(?i)(<[\w:-]{{0,30}}{NAMES}>)\s?{UNMASKED}[^<>]{{4,300}}(?=</)")
# `mysql -pSECRET`; of other programs -p is a port, a path or a profile.
ON_A_COMMAND_LINE = re.compile(
    r"((?<![\w.-])(?:mysql[a-z_]{0,12}|mariadb(?:-[a-z]{1,12})?|sshpass)"
    r"(?:[ \t]{1,4}[^\s|;&]{1,99}){0,12}?[ \t]{1,4}-p)(?!\[)"
    r"(?:(?P<quote>['\"])[^'\"\n]{1,200}(?=['\"])|[^\s'\"|;&]{2,200})"
)
SHORT_CODES = re.compile(
    r"(?i)(\b(?:cvv2?|cvc2?|csc|pin|otp|tan)\b[ :=]{1,3}(?:is |ist )?)\d{3,8}\b"
)
URL_LOGIN = re.compile(
    r"(?i)((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,20}://)(?!\[)"
    r"(?:[^\s/:@]{0,100}:[^\s/]{1,200}|(?=\D{0,100}\d)[^\s/:@]{16,200})@"
)
URL_KEY = re.compile(
    r"(?i)([?&;#](?:token|key|api_?key|access_token|sig|signature|secret|password|code|auth)=)"
    r"(?!\[)[^&;\s#\"']{6,}"
)
DOMAIN = r"(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}"
EMAILS = re.compile(
    r"(?:\"[^\"\n]{1,64}\"|[\w.!#$%&'*+/=?^`{|}~-]{1,64})"
    rf"(?:@|%40|&#64;)(?:{DOMAIN}|\[[\da-fA-F.:]{{3,45}}\])"
)
SPELT_EMAILS = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64} at [\w-]{1,63}(?: dot [\w-]{1,63}){0,3} dot [a-z]{2,6}\b"
    r"|(?<![\w.+-])[\w.+-]{1,64} ?(?:[(\[{]at[)\]}]|(?-i: AT )) ?[\w-]{1,63}"
    r"(?: ?(?:\.|[(\[{]dot[)\]}]|(?-i: DOT )) ?[\w-]{1,63}){1,4}",
    re.IGNORECASE,
)
CARD_LIKE = re.compile(r"(?<![\d._-])(?:\d[ ./\n-]{0,3}){12,80}\d(?!\d)")
IBAN_LIKE = re.compile(r"(?ai)\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]{4}){2,7}(?:[ -]?[a-z0-9]{1,3})?\b")
SOCIAL = re.compile(r"\b(?!000|666|9\d\d)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}\b")  # US
SOCIAL_NAMED = re.compile(
    r"(?i)(\b(?:ssn|social security(?: (?:number|no\.?))?)[\"']?[ :=#]{1,3}(?:is )?[\"']?)"
    r"(?!000|666|9\d\d)\d{3}(?!00)\d\d(?!0000)\d{4}(?!\d)"
)
INSURANCE = re.compile(  # UK; QQ stands in its own examples
    r"\b(?!BG|GB|NK|KN|TN|NT|ZZ)(?:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]|QQ)"
    r"([ -]?)\d\d\1\d\d\1\d\d\1[A-D]\b"
)
FISCAL = re.compile(r"\b[A-Z]{6}\d\d[A-EHLMPR-T]\d\d[A-Z]\d{3}[A-Z]\b")  # Italy
ID_NAMED = re.compile(
    r"(?i)(\b(?:passport|national insurance|nino|nhs|dni|nif|nie|cpf|aadhaar|aadhar|tfn|pesel|curp"
    r"|bsn|national id|identity card|personnummer|steuer-?id|(?<=\b)sin(?= \d))"
    r"(?: (?:number|no\.?|nr\.?|card))?[\"']?[ :=#]{1,3}(?:is )?[\"']?)"
    r"(?!\[)(?=[A-Z .-]{0,6}\d)[A-Z0-9](?:[ .-]?[A-Z0-9]){6,19}(?![A-Za-z0-9])(?<=\d\w|\w\d)"
)
ENCODED = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{16,8000}={0,2}(?![A-Za-z0-9+/_=-])")
ISSUERS = re.compile(
    r"4|5[0-8]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|3[04678]|35[2-8]|6[0-9]"
)  # ISO/IEC 7812

DIGITS = re.compile(r"\d+")
CARD_GROUPS = re.compile(r"\d\d|8 8|4 4 4 [1-7]|4 4 4 4 [1-3]|4 6 [45]|1(?: 1)+")  # digits in each


def is_card(text: str) -> bool:
    """Whether 13 to 19 digits, grouped as on a card, are of an issuer and pass the Luhn check."""
    groups = DIGITS.findall(text)
    numbers = [int(char) for group in groups for char in group]
    plain = "".join(map(str, numbers))
    if not 13 <= len(numbers) <= 19 or len(set(numbers)) == 1 or not ISSUERS.match(plain):
        return False
    if not CARD_GROUPS.fullmatch(" ".join(str(len(group)) for group in groups)):
        return False
    doubled = [n if i % 2 == 0 else sum(divmod(n * 2, 10)) for i, n in enumerate(numbers[::-1])]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether the check digits of an international bank account number are right (ISO 13616)."""
    plain = text.replace(" ", "").replace("-", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1
