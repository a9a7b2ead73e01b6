namespace Proxy.Config;

/// <summary>A value of the file before it is interpreted, with its line.</summary>
internal abstract record Setting(int Line)
{
    /// <summary>How messages name the kind of value if another kind was expected.</summary>
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

    internal sealed record Fraction(double Value, int Line) : Setting(Line)
    {
        public override string Kind => "a fraction";
    }

    /// <summary>A kind of TOML value that no setting takes: a date.</summary>
    internal sealed record Other(string Kind, int Line) : Setting(Line)
    {
        public override string Kind { get; } = Kind;
    }

    /// <summary>The key exists, but its line is not TOML. That problem has been noted; the value causes no further one.</summary>
    internal sealed record Broken(int Line) : Setting(Line)
    {
        public override string Kind => "not TOML";
    }

    internal sealed record List(List<Setting> Items, int Line) : Setting(Line)
    {
        /// <summary>True for <c>[[name]]</c> sections, to which the file may add more.</summary>
        public bool IsSections { get; init; }

        public override string Kind => IsSections ? "[[sections]]" : "a list";
    }

    internal sealed record Table(Dictionary<string, Setting> Items, int Line) : Setting(Line)
    {
        public static Table Empty(int line) => new(new(StringComparer.Ordinal), line);

        /// <summary>True after a header or braces opened the table; a second header is then a mistake.</summary>
        public bool IsOpened { get; set; }

        public override string Kind => "a table";
    }
}
