/* A PKCS#11 module with a token "faulty" and two P-256 keys, "key" and "spare", which fails as FAULT says. Every login and every
 * signature of either key is a line of the file FAULT_LOG. Only "key" fails. With faults that begin with "always" it asks for
 * the PIN before each signature, as keys with CKA_ALWAYS_AUTHENTICATE do; "always-asks" is no failure.
 *
 * The secret of both keys is 1 and so is every nonce: a signature is (r, digest + r) with r the generator's x. That is as good a
 * signature as any other, and no secret at all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long ulong;
typedef unsigned char byte;

enum { OK = 0, DEVICE_REMOVED = 0x32, ATTRIBUTE_TYPE_INVALID = 0x12, PIN_INCORRECT = 0xa0, PIN_EXPIRED = 0xa3,
       PIN_LOCKED = 0xa4, OPERATION_ACTIVE = 0x90, OPERATION_NOT_INITIALIZED = 0x91, TOKEN_WRITE_PROTECTED = 0xe2, USER_NOT_LOGGED_IN = 0x101 };
enum { WRITE_PROTECTED = 0x2, LOGIN_REQUIRED = 0x4, USER_PIN_INITIALIZED = 0x8, TOKEN_INITIALIZED = 0x400,
       USER_PIN_LOCKED = 0x40000 };
enum { CLASS = 0, LABEL = 3, KEY_TYPE = 0x100, ID = 0x102, SIGN = 0x108, EC_PARAMS = 0x180, EC_POINT = 0x181,
       ALWAYS_AUTHENTICATE = 0x202 };
enum { PUBLIC_KEY = 2, PRIVATE_KEY = 3, EC = 3, RW_SESSION = 2, CONTEXT_SPECIFIC = 2 };

struct attribute { ulong type; void *value; ulong length; };

static const byte CURVE[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
/* The generator, as an OCTET STRING. */
static const byte POINT[] = {
    0x04, 0x41, 0x04,
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
    0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
static const byte *const R = POINT + 3;
static const byte ORDER[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

/* Objects 1 and 2 are the halves of "key", 3 and 4 those of "spare". */
enum { OBJECTS = 4 };
static ulong found[OBJECTS], founds;
static ulong signer;
static int signatures;
/* Whether a signature was begun, and the PIN was given for it; what came of its parts. */
static int begun, granted;
static byte parts[32];
static ulong collected;

static int is(const char *fault) {
    const char *chosen = getenv("FAULT");
    return chosen && strcmp(chosen, fault) == 0;
}

static int asks(void) {
    const char *chosen = getenv("FAULT");
    return chosen && strncmp(chosen, "always", 6) == 0;
}

static void note(const char *what, ulong object) {
    FILE *log = fopen(getenv("FAULT_LOG"), "a");
    if (!log) abort();
    fprintf(log, "%s %lu\n", what, object);
    fclose(log);
}

static ulong fine(void) { return OK; }

static ulong slots(byte present, ulong *list, ulong *count) {
    (void)present;
    if (list && *count > 0) list[0] = 0;
    *count = is("no-token") ? 0 : 1;
    return OK;
}

static void pad(byte *to, const char *text, size_t length) {
    memset(to, ' ', length);
    memcpy(to, text, strlen(text));
}

struct token {
    byte label[32], maker[32], model[16], serial[16];
    ulong flags, counts[10];
    byte versions[4], time[16];
};

static ulong token(ulong slot, struct token *info) {
    (void)slot;
    memset(info, 0, sizeof *info);
    pad(info->label, "faulty", 32);
    pad(info->maker, "a test", 32);
    pad(info->model, "stub", 16);
    pad(info->serial, "1", 16);
    info->flags = LOGIN_REQUIRED | USER_PIN_INITIALIZED | TOKEN_INITIALIZED;
    if (is("locked")) info->flags |= USER_PIN_LOCKED;
    if (is("write-protected")) info->flags |= WRITE_PROTECTED;
    return OK;
}

static ulong open_session(ulong slot, ulong flags, void *data, void *callback, ulong *session) {
    (void)slot, (void)data, (void)callback;
    if (is("write-protected") && flags & RW_SESSION) return TOKEN_WRITE_PROTECTED;
    *session = 1;
    return OK;
}

static ulong login(ulong session, ulong user, byte *pin, ulong length) {
    (void)session, (void)pin, (void)length;
    if (user == CONTEXT_SPECIFIC) {
        if (!begun) return OPERATION_NOT_INITIALIZED;
        note("again", 0);
        granted = !is("always-pin-incorrect");
        return granted ? OK : PIN_INCORRECT;
    }
    note("login", 0);
    if (is("pin-incorrect")) return PIN_INCORRECT;
    if (is("pin-locked")) return PIN_LOCKED;
    if (is("pin-expired")) return PIN_EXPIRED;
    return OK;
}

/* Returns an attribute of an object; none where it has none. */
static const void *attribute(ulong object, ulong type, ulong *length) {
    static ulong number;
    static byte truth;
    int is_spare = object > 2, is_private = object % 2;
    *length = sizeof number;
    switch (type) {
    case CLASS: number = is_private ? PRIVATE_KEY : PUBLIC_KEY; return &number;
    case KEY_TYPE: number = EC; return &number;
    case LABEL: *length = is_spare ? 5 : 3; return is_spare ? "spare" : "key";
    case ID: *length = 1; return is_spare ? "\2" : "\1";
    case EC_PARAMS: *length = sizeof CURVE; return CURVE;
    case EC_POINT: *length = sizeof POINT; return is_private ? NULL : POINT;
    case SIGN: *length = 1; truth = is_spare || !is("not-for-signing"); return &truth;
    case ALWAYS_AUTHENTICATE: *length = 1; truth = !is_spare && asks(); return &truth;
    default: return NULL;
    }
}

static ulong attributes(ulong session, ulong object, struct attribute *list, ulong count) {
    ulong answer = OK;
    (void)session;
    for (ulong at = 0; at < count; at++) {
        ulong length;
        const void *value = attribute(object, list[at].type, &length);
        if (!value) {
            list[at].length = (ulong)-1;
            answer = ATTRIBUTE_TYPE_INVALID;
            continue;
        }
        if (list[at].value) memcpy(list[at].value, value, length);
        list[at].length = length;
    }
    return answer;
}

static int fits(ulong object, const struct attribute *wanted, ulong count) {
    for (ulong at = 0; at < count; at++) {
        ulong length;
        const void *value = attribute(object, wanted[at].type, &length);
        if (!value || length != wanted[at].length || memcmp(value, wanted[at].value, length)) return 0;
    }
    return 1;
}

static ulong find(ulong session, const struct attribute *wanted, ulong count) {
    (void)session;
    founds = 0;
    for (ulong object = is("no-key") ? 3 : 1; object <= OBJECTS; object++)
        if (fits(object, wanted, count)) found[founds++] = object;
    return OK;
}

static ulong next(ulong session, ulong *list, ulong most, ulong *count) {
    (void)session;
    for (*count = 0; *count < most && founds > 0; (*count)++) list[*count] = found[--founds];
    return OK;
}

static ulong begin(ulong session, void *mechanism, ulong object) {
    (void)session, (void)mechanism;
    if (begun) return OPERATION_ACTIVE;
    signer = object;
    begun = 1, granted = 0, collected = 0;
    return OK;
}

static void subtract_order(byte *number, int *above) {
    int borrow = 0;
    for (int at = 31; at >= 0; at--) {
        int digit = number[at] - ORDER[at] - borrow;
        borrow = digit < 0;
        number[at] = (byte)digit;
    }
    *above -= borrow;
}

/* Writes r and s = digest + r, modulo the order. */
static void make(const byte *digest, byte *signature) {
    int carry = 0;
    byte *s = signature + 32;
    memcpy(signature, R, 32);
    for (int at = 31; at >= 0; at--) {
        int digit = digest[at] + R[at] + carry;
        carry = digit >> 8;
        s[at] = (byte)digit;
    }
    while (carry || memcmp(s, ORDER, 32) >= 0) subtract_order(s, &carry);
}

static ulong sign(ulong session, const byte *digest, ulong length, byte *signature, ulong *size) {
    (void)session, (void)length;
    *size = 64;
    if (!begun) return OPERATION_NOT_INITIALIZED;
    if (!signature) return OK;
    begun = 0;
    if (signer == 1 && asks() && !granted) return USER_NOT_LOGGED_IN;
    note("sign", signer);
    make(digest, signature);
    if (signer != 1) return OK;
    if (is("removed") && signatures++ == 3) setenv("FAULT", "gone", 1);
    if (is("gone")) return DEVICE_REMOVED;
    if (is("logged-out")) return USER_NOT_LOGGED_IN;
    if (is("crash")) abort();
    if (is("hang")) sleep(600);
    if (is("wrong")) signature[63] ^= 1;
    if (is("odd")) *size = 63;
    if (is("empty")) *size = 0;
    return OK;
}

static ulong part(ulong session, const byte *bytes, ulong length) {
    (void)session;
    if (!begun) return OPERATION_NOT_INITIALIZED;
    /* As SoftHSM does. */
    if (is("always-at-once") || collected + length > sizeof parts) return begun = 0, OPERATION_NOT_INITIALIZED;
    if (signer == 1 && asks() && !granted) return begun = 0, USER_NOT_LOGGED_IN;
    memcpy(parts + collected, bytes, length);
    collected += length;
    return OK;
}

static ulong end(ulong session, byte *signature, ulong *size) {
    return sign(session, parts, collected, signature, size);
}

/* CK_FUNCTION_LIST of PKCS#11 2.40: what is not there fails by itself. */
static struct { byte version[2]; void *functions[68]; } list = {
    {2, 40},
    {[0] = fine, [1] = fine, [4] = slots, [6] = token, [12] = open_session, [13] = fine, [18] = login, [19] = fine,
     [24] = attributes, [26] = find, [27] = next, [28] = fine, [42] = begin, [43] = sign, [44] = part,
     [45] = end}};

ulong C_GetFunctionList(void **functions) {
    *functions = &list;
    return OK;
}
