/* A mock of a vendor's library for GM/T 0016-2012: one or two tokens, one application, one container, an SM2 key. No
 * real token was at hand. It refuses what a real one refuses: handles that were not given out or are of another kind,
 * calls out of order, buffers too small, PINs of wrong length, wrong or locked; and counts them. MOCK_set is the tests'
 * way in. Signatures are made by libcrypto, declared here by hand so that no headers of it are needed. */
#include <stdint.h>
#include <string.h>

typedef uint32_t ULONG;
typedef int32_t BOOL;
typedef void *HANDLE;
typedef unsigned char BYTE;

void *EVP_PKEY_Q_keygen(void *libctx, const char *propq, const char *type, ...);
int EVP_PKEY_get_octet_string_param(const void *key, const char *name, BYTE *buf, size_t size, size_t *out);
void *EVP_PKEY_CTX_new(void *key, void *engine);
void EVP_PKEY_CTX_free(void *ctx);
int EVP_PKEY_sign_init(void *ctx);
int EVP_PKEY_sign(void *ctx, BYTE *sig, size_t *siglen, const BYTE *tbs, size_t tbslen);

enum {
    OK = 0, FAIL = 0x0A000001, INVALID_HANDLE = 0x0A000005, INVALID_PARAMETER = 0x0A000006,
    DATA_LENGTH = 0x0A000010, TOO_SMALL = 0x0A000020, REMOVED = 0x0A000023, PIN_INCORRECT = 0x0A000024,
    PIN_LOCKED = 0x0A000025, PIN_LEN_RANGE = 0x0A000027, NO_APPLICATION = 0x0A00002E, NOT_LOGGED_IN = 0x0A00002D
};

#pragma pack(push, 1)
typedef struct { ULONG bits; BYTE x[64], y[64]; } PUBLIC;
typedef struct { BYTE r[64], s[64]; } SIGNATURE;
#pragma pack(pop)

static const int MOST = 6;
static int devices = 1, left = 6, logged_in, removed, forgets, faulty, zeros, bits = 256, verified;
static int connected, opened, contained;
/* Handles are addresses above 4 GB where pointers have 64 bits: one that is cut to 32 bits is found out. */
static int device_, application_, container_;
static void *key;

int MOCK_set(const char *name, int value) {
    if (!strcmp(name, "devices")) devices = value;
    else if (!strcmp(name, "left")) left = value;
    else if (!strcmp(name, "removed")) removed = value;
    else if (!strcmp(name, "forgets")) forgets = value;
    else if (!strcmp(name, "faulty")) faulty = value;
    else if (!strcmp(name, "zeros")) zeros = value;
    else if (!strcmp(name, "bits")) bits = value;
    else return -1;
    return 0;
}

int MOCK_left(void) { return left; }
int MOCK_verified(void) { return verified; }
int MOCK_connected(void) { return connected; }

ULONG SKF_EnumDev(BOOL present, char *names, ULONG *size) {
    static const char list[] = "MOCK0\0MOCK1\0";
    ULONG needed = devices == 0 ? 1 : devices == 1 ? 7 : 13;
    if (!size || present != 1) return INVALID_PARAMETER;
    if (names) {
        if (*size < needed) return TOO_SMALL;
        memcpy(names, devices == 0 ? "" : list, needed - 1);
        names[needed - 1] = 0;
    }
    *size = needed;
    return OK;
}

ULONG SKF_ConnectDev(char *name, HANDLE *device) {
    if (!name || !device || strncmp(name, "MOCK", 4) || name[4] - '0' >= devices || name[5]) return FAIL;
    if (!key) key = EVP_PKEY_Q_keygen(0, 0, "SM2");
    connected = 1;
    *device = &device_;
    return OK;
}

ULONG SKF_DisConnectDev(HANDLE device) {
    if (!connected || device != &device_) return INVALID_HANDLE;
    connected = opened = contained = logged_in = 0;
    return OK;
}

ULONG SKF_OpenApplication(HANDLE device, char *name, HANDLE *application) {
    if (!connected || device != &device_) return INVALID_HANDLE;
    if (strcmp(name, "CUSTOMS")) return NO_APPLICATION;
    opened = 1;
    *application = &application_;
    return OK;
}

ULONG SKF_GetPINInfo(HANDLE application, ULONG type, ULONG *most, ULONG *remaining, BOOL *by_default) {
    if (!opened || application != &application_) return INVALID_HANDLE;
    if (type != 1) return INVALID_PARAMETER;
    *most = MOST;
    *remaining = left;
    *by_default = 0;
    return OK;
}

ULONG SKF_VerifyPIN(HANDLE application, ULONG type, char *pin, ULONG *remaining) {
    if (removed) return REMOVED;
    if (!opened || application != &application_) return INVALID_HANDLE;
    if (type != 1) return INVALID_PARAMETER;
    if (strlen(pin) < 6 || strlen(pin) > 16) return PIN_LEN_RANGE;
    verified++;
    logged_in = 0;
    if (!left) return PIN_LOCKED;
    if (strcmp(pin, "13572468")) {
        *remaining = --left;
        return left ? PIN_INCORRECT : PIN_LOCKED;
    }
    *remaining = left = MOST;
    logged_in = 1;
    return OK;
}

ULONG SKF_OpenContainer(HANDLE application, char *name, HANDLE *container) {
    if (!opened || application != &application_) return INVALID_HANDLE;
    if (strcmp(name, "SIGN")) return INVALID_PARAMETER;
    contained = 1;
    *container = &container_;
    return OK;
}

ULONG SKF_ExportPublicKey(HANDLE container, BOOL sign, BYTE *blob, ULONG *size) {
    BYTE point[65];
    size_t written;
    PUBLIC *out = (PUBLIC *)blob;
    if (!contained || container != &container_) return INVALID_HANDLE;
    if (sign != 1) return FAIL; /* there is no key to encrypt with */
    if (*size < sizeof *out) return TOO_SMALL;
    if (EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof point, &written) != 1 || written != 65) return FAIL;
    memset(out, 0, sizeof *out);
    out->bits = bits;
    memcpy(out->x + 32, point + 1, 32);
    memcpy(out->y + 32, point + 33, 32);
    *size = sizeof *out;
    return OK;
}

/* INTEGER of a DER signature, right-aligned in 64 bytes; returns what follows it. */
static const BYTE *number(const BYTE *at, BYTE out[64]) {
    int size = at[1];
    const BYTE *from = at + 2, *end = from + size;
    if (*from == 0) { from++; size--; }
    memset(out, 0, 64);
    memcpy(out + 64 - size, from, size);
    return end;
}

ULONG SKF_ECCSignData(HANDLE container, BYTE *digest, ULONG size, SIGNATURE *out) {
    BYTE der[80];
    size_t length = sizeof der;
    void *context;
    int made;
    if (removed) return REMOVED;
    if (!contained || container != &container_) return INVALID_HANDLE;
    if (size != 32) return DATA_LENGTH;
    if (forgets) { forgets = 0; logged_in = 0; }
    if (!logged_in) return NOT_LOGGED_IN;
    do {
        length = sizeof der;
        context = EVP_PKEY_CTX_new(key, 0);
        made = EVP_PKEY_sign_init(context) == 1 && EVP_PKEY_sign(context, der, &length, digest, size) == 1;
        EVP_PKEY_CTX_free(context);
        if (!made) return FAIL;
        number(number(der + 2, out->r), out->s);
    } while (zeros && out->r[32]);
    if (faulty) out->s[63] ^= 1;
    return OK;
}
