namespace Proxy.Config;

/// <summary>A value as the file has it, before anyone asks what it means; knows its line.</summary>
internal abstract record Setting(int Line)
{
    /// <summary>What to call the value when it is not what was wanted.</summary>
    public abstract string Kind { get; }

    internal sealed record Text(string Value, int Line) : Setting(Line)
    {
        public override string Kind => "a text";
    }

    internal sealed record Whole(long Value, int Line) : Setting(Line)
    {
        public override string Kind => "a number";
    }

    internal sealed record Truth(bool Value, int Line) : Setting(Line)
    {
        public override string Kind => Value ? "true" : "false";
    }

    /// <summary>What TOML knows and no key of ours wants: fractions, dates.</summary>
    internal sealed record Other(string Kind, int Line) : Setting(Line)
    {
        public override string Kind { get; } = Kind;
    }

    /// <summary>The key is there and its line is not TOML. That has been said; nothing follows from it.</summary>
    internal sealed record Broken(int Line) : Setting(Line)
    {
        public override string Kind => "not TOML";
    }

    internal sealed record List(List<Setting> Items, int Line) : Setting(Line)
    {
        /// <summary>True for <c>[[name]]</c> sections, which the file may go on adding to.</summary>
        public bool IsSections { get; init; }

        public override string Kind => IsSections ? "[[sections]]" : "a list";
    }

    internal sealed record Table(Dictionary<string, Setting> Items, int Line) : Setting(Line)
    {
        public static Table Empty(int line) => new(new(StringComparer.Ordinal), line);

        /// <summary>True once a header or braces opened it; a second header is then a mistake.</summary>
        public bool IsOpened { get; set; }

        public override string Kind => "a table";
    }
}
