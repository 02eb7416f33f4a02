/*
 * Where the guest begins. QEMU loads the program by its multiboot header and jumps to `start` in 32-bit protected
 * mode without paging; this sets up segments and a stack and calls kmain. Below it, the interrupt entries.
 */
    .section .multiboot, "a"
    .align 4
    .long 0x1BADB002              /* multiboot magic */
    .long 3                       /* flags: align modules, tell us about memory */
    .long -(0x1BADB002 + 3)       /* checksum */

    .text
    .globl start
start:
    cli
    cld
    mov $stack_top, %esp
    lgdt gdt_pointer
    ljmp $8, $1f
1:  mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov %ax, %fs
    mov %ax, %gs
    push %ebx                     /* the multiboot information, kmain's only argument */
    call kmain
2:  hlt
    jmp 2b

/* The timer: counts, nothing more. */
    .globl on_timer
on_timer:
    incl ticks
    push %eax
    mov $0x20, %al                /* end of interrupt */
    out %al, $0x20
    pop %eax
    iret

/* Any other hardware interrupt; all are masked, so only spurious ones arrive. */
    .globl on_interrupt
on_interrupt:
    push %eax
    mov $0x20, %al
    out %al, $0x20
    out %al, $0xa0
    pop %eax
    iret

/* A processor exception is a bug here: say so and stand still. */
    .globl on_fault
on_fault:
    cli
    call report_fault
3:  hlt
    jmp 3b

    .section .rodata
    .align 8
gdt:
    .quad 0
    .quad 0x00cf9a000000ffff      /* code, 4 GiB */
    .quad 0x00cf92000000ffff      /* data, 4 GiB */
gdt_pointer:
    .word 23
    .long gdt

    .bss
    .align 16
    .space 8192
stack_top:

    .section .note.GNU-stack, "", @progbits
