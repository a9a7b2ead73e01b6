using System.Numerics;

namespace Proxy.Inference.Tokenizing;

/// <summary>
/// A vocabulary as a trie over UTF-16 units; one hash table holds all its edges. A step is one probe, usually of one cache line.
/// Not changed after <see cref="Read"/>, so thread-safe.
/// </summary>
internal sealed class PieceTrie
{
    public const int Root = 1;

    /// <summary>An edge: parent 24 bits, char 16, child 24. Child 0 does not exist, so 0 is an empty slot.</summary>
    private ulong[] edges = new ulong[1024];
    private int[] tokens = new int[512];
    private int[] asciiRoots = [];
    private int shift = 64 - 10;
    private int nodes = 1;

    /// <summary>Builds the trie. If a piece occurs twice, the later one counts. At most 16 million nodes.</summary>
    public static PieceTrie Read(IEnumerable<(string Piece, int Id)> vocabulary)
    {
        var trie = new PieceTrie();
        foreach (var (piece, id) in vocabulary)
        {
            var node = Root;
            foreach (var c in piece) node = trie.Child(node, c);
            trie.tokens[node] = id + 1;
        }

        Array.Resize(ref trie.tokens, trie.nodes + 1);
        trie.asciiRoots = new int[128];
        for (var c = 0; c < 128; c++) trie.asciiRoots[c] = trie.Find(Root, (char)c);
        return trie;
    }

    /// <summary>The node after one more char; 0 if no piece continues with it.</summary>
    public int Step(int node, char c) => node == Root && c < asciiRoots.Length ? asciiRoots[c] : Find(node, c);

    /// <summary>The node after all these chars; 0 if no piece begins with them.</summary>
    public int Walk(int node, ReadOnlySpan<char> chars)
    {
        foreach (var c in chars)
        {
            if (node == 0) return 0;
            node = Step(node, c);
        }

        return node;
    }

    /// <summary>The id of the piece that ends here; -1 if none.</summary>
    public int TokenAt(int node) => tokens[node] - 1;

    /// <summary>The id of exactly this piece; -1 if there is none.</summary>
    public int TokenOf(ReadOnlySpan<char> piece) => TokenAt(Walk(Root, piece));

    private int Find(int node, char c)
    {
        var key = ((ulong)(uint)node << 16) | c;
        var table = edges;
        var mask = table.Length - 1;
        for (var slot = (int)(key * 0x9E3779B97F4A7C15 >> shift); ; slot = (slot + 1) & mask)
        {
            var edge = table[slot];
            if (edge >> 24 == key) return (int)(edge & 0xFFFFFF);
            if (edge == 0) return 0;
        }
    }

    private int Child(int node, char c)
    {
        var child = Find(node, c);
        if (child != 0) return child;
        if (nodes >= 0xFFFFFF) throw new TokenizerException("the vocabulary is too large");
        if (++nodes * 2 > edges.Length) Rehash();
        if (nodes >= tokens.Length) Array.Resize(ref tokens, tokens.Length * 2);
        Put(((((ulong)(uint)node << 16) | c) << 24) | (uint)nodes);
        return nodes;
    }

    private void Rehash()
    {
        var old = edges;
        edges = new ulong[old.Length * 2];
        shift = 64 - BitOperations.Log2((uint)edges.Length);
        foreach (var edge in old)
        {
            if (edge != 0) Put(edge);
        }
    }

    private void Put(ulong edge)
    {
        var slot = (int)((edge >> 24) * 0x9E3779B97F4A7C15 >> shift);
        while (edges[slot] != 0) slot = (slot + 1) & (edges.Length - 1);
        edges[slot] = edge;
    }
}
