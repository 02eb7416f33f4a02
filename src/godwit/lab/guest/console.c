/* The guest's voice, the first serial port, and its ear, the keyboard. */
#include "machine.h"

#define SERIAL 0x3f8
#define SERIAL_READY 0x20
#define SERIAL_PATIENCE 100000
#define KEYBOARD_DATA 0x60
#define KEYBOARD_STATUS 0x64

/* What each key of a US keyboard means, by its "make" code; releases are above the table and ignored. */
static const char key_of_code[] = {
    0,   0,   '1', '2', '3', '4', '5', '6', '7', '8', '9', '0', 0,    0,   0,
    0,   'q', 'w', 'e', 'r', 't', 'y', 'u', 'i', 'o', 'p', 0,   0,    '\n', 0,
    'a', 's', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 0,   0,   0,   0,    0,   'z',
    'x', 'c', 'v', 'b', 'n', 'm',
};

void console_start(void)
{
    out8(SERIAL + 1, 0);    /* no interrupts */
    out8(SERIAL + 3, 0x80); /* 115200 baud */
    out8(SERIAL, 1);
    out8(SERIAL + 1, 0);
    out8(SERIAL + 3, 3);    /* 8 bits, no parity, 1 stop */
    out8(SERIAL + 2, 0xc7); /* FIFO on */
    out8(SERIAL + 4, 3);
}

static void print_character(char character)
{
    int patience = SERIAL_PATIENCE;

    while (!(in8(SERIAL + 5) & SERIAL_READY) && --patience)
        ;
    out8(SERIAL, (u8)character);
}

void print(const char *text)
{
    while (*text)
        print_character(*text++);
}

void print_number(u32 value)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;

    *first = 0;
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    print(first);
}

char read_key(void)
{
    while (in8(KEYBOARD_STATUS) & 1) {
        u8 code = in8(KEYBOARD_DATA);
        if (code < sizeof key_of_code && key_of_code[code])
            return key_of_code[code];
    }
    return 0;
}
