namespace Proxy.Config;

/// <summary>The names of the families in the file, in tables and on the admin socket.</summary>
internal static class DialectNames
{
    private static readonly (DialectFamily Family, string Name)[] Names =
    [
        (DialectFamily.OpenAi, "openai"), (DialectFamily.Responses, "responses"), (DialectFamily.Ollama, "ollama"),
        (DialectFamily.Anthropic, "anthropic"), (DialectFamily.Tei, "tei"),
    ];

    public static IEnumerable<string> All => Names.Select(known => known.Name);

    public static string Name(this DialectFamily family) => Names.First(known => known.Family == family).Name;

    public static DialectFamily? Parse(string name)
    {
        foreach (var known in Names)
            if (known.Name == name) return known.Family;
        return null;
    }
}
