/* Units: one table, products, quotients and powers of its rows. Exact factors only (the inch is
 * 0.0254 m by definition); a factor beyond 64 bits is no unit. */
#include "verify/units.h"
#include <string.h>

typedef struct row {
    const char *name;
    uint8_t dim, power;
    int64_t num, den;
    bool short_form; /* no plural */
} row;

#define L UNIT_LENGTH, 1
static const row rows[] = {
    {"meter", L, 1, 1, false},
    {"metre", L, 1, 1, false},
    {"centimeter", L, 1, 100, false},
    {"centimetre", L, 1, 100, false},
    {"millimeter", L, 1, 1000, false},
    {"millimetre", L, 1, 1000, false},
    {"kilometer", L, 1000, 1, false},
    {"kilometre", L, 1000, 1, false},
    {"m", L, 1, 1, true},
    {"cm", L, 1, 100, true},
    {"mm", L, 1, 1000, true},
    {"km", L, 1000, 1, true},
    {"inch", L, 254, 10000, false},
    {"inches", L, 254, 10000, true},
    {"in", L, 254, 10000, true},
    {"foot", L, 3048, 10000, true},
    {"feet", L, 3048, 10000, true},
    {"ft", L, 3048, 10000, true},
    {"yard", L, 9144, 10000, false},
    {"yd", L, 9144, 10000, true},
    {"mile", L, 1609344, 1000, false},
    {"mi", L, 1609344, 1000, true},
    {"gram", UNIT_MASS, 1, 1, 1, false},
    {"kilogram", UNIT_MASS, 1, 1000, 1, false},
    {"milligram", UNIT_MASS, 1, 1, 1000, false},
    {"g", UNIT_MASS, 1, 1, 1, true},
    {"kg", UNIT_MASS, 1, 1000, 1, true},
    {"mg", UNIT_MASS, 1, 1, 1000, true},
    {"pound", UNIT_MASS, 1, 45359237, 100000, false},
    {"lb", UNIT_MASS, 1, 45359237, 100000, false},
    {"ounce", UNIT_MASS, 1, 45359237, 1600000, false},
    {"oz", UNIT_MASS, 1, 45359237, 1600000, true},
    {"ton", UNIT_MASS, 1, 90718474, 100, false},
    {"second", UNIT_TIME, 1, 1, 1, false},
    {"sec", UNIT_TIME, 1, 1, 1, false},
    {"s", UNIT_TIME, 1, 1, 1, true},
    {"minute", UNIT_TIME, 1, 60, 1, false},
    {"min", UNIT_TIME, 1, 60, 1, false},
    {"hour", UNIT_TIME, 1, 3600, 1, false},
    {"hr", UNIT_TIME, 1, 3600, 1, false},
    {"h", UNIT_TIME, 1, 3600, 1, true},
    {"day", UNIT_TIME, 1, 86400, 1, false},
    {"week", UNIT_TIME, 1, 604800, 1, false},
    {"liter", UNIT_LENGTH, 3, 1, 1000, false},
    {"litre", UNIT_LENGTH, 3, 1, 1000, false},
    {"milliliter", UNIT_LENGTH, 3, 1, 1000000, false},
    {"millilitre", UNIT_LENGTH, 3, 1, 1000000, false},
    {"L", UNIT_LENGTH, 3, 1, 1000, true},
    {"ml", UNIT_LENGTH, 3, 1, 1000000, true},
    {"mL", UNIT_LENGTH, 3, 1, 1000000, true},
    {"gallon", UNIT_LENGTH, 3, 473176473, 125000000000, false},
    {"quart", UNIT_LENGTH, 3, 473176473, 500000000000, false},
    {"pint", UNIT_LENGTH, 3, 473176473, 1000000000000, false},
    {"cup", UNIT_LENGTH, 3, 473176473, 2000000000000, false},
    {"dollar", UNIT_MONEY, 1, 1, 1, false},
    {"cent", UNIT_MONEY, 1, 1, 100, false},
    {"degree", UNIT_ANGLE, 1, 1, 1, false},
    {"byte", UNIT_DATA, 1, 1, 1, false},
    {"kilobyte", UNIT_DATA, 1, 1024, 1, false},
    {"mph", UNIT_LENGTH, 9, 1609344, 3600000, true}, /* power 9: per hour, see below */
};
#undef L

static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const row *find(const char *p, size_t n) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t k = strlen(rows[i].name);
        if (k <= n && memcmp(rows[i].name, p, k) == 0 &&
            (k == n || (k + 1 == n && p[k] == 's' && !rows[i].short_form)))
            return &rows[i];
    }
    return NULL;
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static bool scale(unit *u, int64_t num, int64_t den) {
    int64_t g = gcd(u->num, den), h = gcd(num, u->den);
    return !__builtin_mul_overflow(u->num / g, num / h, &u->num) &&
           !__builtin_mul_overflow(u->den / h, den / g, &u->den);
}

static bool times(unit *u, const row *r, int power) {
    int64_t g = gcd(r->num, r->den);
    if (strcmp(r->name, "mph") == 0) {
        u->dim[UNIT_LENGTH] = (int8_t)(u->dim[UNIT_LENGTH] + power);
        u->dim[UNIT_TIME] = (int8_t)(u->dim[UNIT_TIME] - power);
    } else {
        u->dim[r->dim] = (int8_t)(u->dim[r->dim] + power * r->power);
    }
    for (int i = 0; i < (power < 0 ? -power : power); i++)
        if (!(power > 0 ? scale(u, r->num / g, r->den / g) : scale(u, r->den / g, r->num / g)))
            return false;
    return true;
}

/* "^2", "^{3}", " squared": the power, 1 when none; n_read bytes. */
static int power_of(const char *p, size_t n, size_t *n_read) {
    *n_read = 0;
    if (n >= 2 && p[0] == '^') {
        size_t i = 1, brace = p[1] == '{';
        i += brace;
        if (i < n && p[i] >= '1' && p[i] <= '3' && (!brace || (i + 1 < n && p[i + 1] == '}'))) {
            *n_read = i + 1 + brace;
            return p[i] - '0';
        }
    }
    if (n >= 8 && memcmp(p, " squared", 8) == 0) return *n_read = 8, 2;
    if (n >= 6 && memcmp(p, " cubed", 6) == 0) return *n_read = 6, 3;
    return 1;
}

static size_t word(const char *p, size_t n) {
    size_t k = 0;
    while (k < n && letter(p[k])) k++;
    return k;
}

static size_t skip(const char *p, size_t n, size_t i) {
    while (i < n && (p[i] == ' ' || p[i] == '-' || p[i] == '.')) i++;
    return i;
}

static size_t phrase(unit *u, const char *p, size_t n) {
    size_t i = skip(p, n, 0), end = 0;
    int sign = 1;
    *u = (unit){{0}, 1, 1};
    for (int terms = 0; i < n && terms < 6; terms++) {
        size_t k = word(p + i, n - i), read;
        int power = 1;
        if ((k == 6 && memcmp(p + i, "square", 6) == 0) || (k == 2 && memcmp(p + i, "sq", 2) == 0))
            power = 2;
        if ((k == 5 && memcmp(p + i, "cubic", 5) == 0) || (k == 2 && memcmp(p + i, "cu", 2) == 0))
            power = 3;
        if (power > 1) {
            i = skip(p, n, i + k);
            k = word(p + i, n - i);
        }
        const row *r = k > 0 ? find(p + i, k) : NULL;
        if (!r) break;
        i += k;
        if (power == 1) {
            power = power_of(p + i, n - i, &read);
            i += read;
        }
        if (!times(u, r, sign * power)) return 0;
        end = i;
        i = skip(p, n, i);
        if (i < n && p[i] == '/') {
            sign = -1;
            i = skip(p, n, i + 1);
        } else if (i + 4 <= n && memcmp(p + i, "per ", 4) == 0) {
            sign = -1;
            i = skip(p, n, i + 4);
        } else if (end == i) {
            break;
        }
    }
    return end;
}

size_t unit_span(const char *p, size_t n) {
    unit u;
    return phrase(&u, p, n);
}

bool unit_read(unit *out, const char *p, size_t n) {
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '.')) n--;
    return n > 0 && phrase(out, p, n) == n;
}
