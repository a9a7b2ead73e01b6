using System.Runtime.InteropServices;
using Npgsql;
using Proxy.Knowledge.Index;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>The slots that a search may find: those of complete files, and of the mask if there is one.</summary>
internal sealed class SlotFilter
{
    private readonly SlotMask? allowed;
    private readonly int length;

    private SlotFilter(SlotMask? allowed, int length, int count) => (this.allowed, this.length, Count) = (allowed, length, count);

    /// <summary>How many slots pass.</summary>
    public int Count { get; }

    /// <summary>Whether all slots pass that were known when the index was opened.</summary>
    public bool IsAll => allowed is null;

    /// <param name="slots">What is known of the slots.</param>
    /// <param name="chunks">How many chunks there are in all files, also in those that are not complete.</param>
    /// <param name="mask">Only these; null: all.</param>
    public static SlotFilter For(SlotTable slots, long chunks, SlotMask? mask)
    {
        if (mask is null && slots.Count == chunks) return new(null, slots.Length, slots.Count);
        var allowed = new SlotMask(slots.Length);
        for (var slot = 0; slot < slots.Length; slot++)
        {
            if (mask?[slot] is not false && slots.IsLive(slot)) allowed.Add(slot);
        }

        return new(allowed, slots.Length, allowed.Count);
    }

    /// <summary>A condition on the column <c>slot</c>. A slot that is newer than the index does not pass.</summary>
    /// <param name="length">The parameter of the number of slots.</param>
    /// <param name="bits">The parameter of the bits, one a slot.</param>
    public static string Sql(string length, string bits) =>
        $"case when slot >= {length} then false when {bits}::bytea is null then true else get_bit({bits}::bytea, slot) = 1 end";

    /// <summary>The values of both parameters.</summary>
    public IEnumerable<NpgsqlParameter> Parameters() =>
    [
        Of(length),
        new NpgsqlParameter<byte[]?>
        {
            TypedValue = allowed is null ? null : MemoryMarshal.AsBytes(allowed.Bits).ToArray(), NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Bytea,
        },
    ];

    /// <summary>The slots that pass, if not all do.</summary>
    public int[] Slots() => allowed is null ? [] : [.. Enumerable.Range(0, length).Where(slot => allowed[slot])];
}
