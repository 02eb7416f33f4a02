/* The clock: the PIT interrupts TICKS_PER_S times a second, and the processor halts in between. */
#include "machine.h"

#define PIT_HZ 1193182u
#define IDT_GATES 256
#define FIRST_IRQ 32
#define INTERRUPT_GATE 0x8e
#define CODE_SEGMENT 8

#define PIC_MASTER 0x20
#define PIC_SLAVE 0xa0

extern void on_timer(void);
extern void on_interrupt(void);
extern void on_fault(void);

struct gate {
    u16 offset_low;
    u16 selector;
    u8 zero;
    u8 type;
    u16 offset_high;
} __attribute__((packed));

struct table_pointer {
    u16 limit;
    u32 address;
} __attribute__((packed));

volatile u32 ticks;
static struct gate gates[IDT_GATES];

static void set_gate(int number, void (*handler)(void))
{
    u32 address = (u32)handler;
    gates[number] = (struct gate){
        .offset_low = (u16)address,
        .selector = CODE_SEGMENT,
        .type = INTERRUPT_GATE,
        .offset_high = (u16)(address >> 16),
    };
}

/* Hardware interrupts 0-15 arrive as 32-47, out of the way of processor exceptions; only the timer is let through. */
static void start_interrupt_controllers(void)
{
    out8(PIC_MASTER, 0x11);
    out8(PIC_SLAVE, 0x11);
    out8(PIC_MASTER + 1, FIRST_IRQ);
    out8(PIC_SLAVE + 1, FIRST_IRQ + 8);
    out8(PIC_MASTER + 1, 4);
    out8(PIC_SLAVE + 1, 2);
    out8(PIC_MASTER + 1, 1);
    out8(PIC_SLAVE + 1, 1);
    out8(PIC_MASTER + 1, 0xfe);
    out8(PIC_SLAVE + 1, 0xff);
}

void timer_start(void)
{
    struct table_pointer pointer = {.limit = sizeof gates - 1, .address = (u32)gates};
    u32 divisor = PIT_HZ / TICKS_PER_S;
    int number;

    for (number = 0; number < IDT_GATES; number++)
        set_gate(number, number < FIRST_IRQ ? on_fault : on_interrupt);
    set_gate(FIRST_IRQ, on_timer);
    __asm__ volatile("lidt %0" ::"m"(pointer));

    start_interrupt_controllers();
    out8(0x43, 0x34); /* channel 0, both bytes, rate generator */
    out8(0x40, (u8)divisor);
    out8(0x40, (u8)(divisor >> 8));
}

/* Interrupts are on only here, so that nothing else ever runs between two of our own instructions. */
void wait_for_tick(void) { __asm__ volatile("sti; hlt; cli"); }
