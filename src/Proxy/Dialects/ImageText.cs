using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Images in the forms that dialects use: a <c>data:</c> URL, another URL, or plain base64.</summary>
internal static class ImageText
{
    public static ContentPart.Image FromUrl(string url)
    {
        const string marker = ";base64,";
        if (!url.StartsWith("data:", StringComparison.OrdinalIgnoreCase)) return new(null, null, url);
        var at = url.IndexOf(marker, StringComparison.OrdinalIgnoreCase);
        if (at < 0) return new(null, null, url);

        var type = url[5..at];
        var parameter = type.IndexOf(';', StringComparison.Ordinal);
        if (parameter >= 0) type = type[..parameter];
        return new(type.Length == 0 ? null : type, url[(at + marker.Length)..], null);
    }

    public static string ToUrl(ContentPart.Image image) =>
        image.Url ?? $"data:{MediaType(image)};base64,{image.Base64}";

    /// <summary>The media type of an image that is given as bytes: the declared one, otherwise guessed from the first bytes.</summary>
    public static string MediaType(ContentPart.Image image) => image.MediaType ?? Guess(image.Base64!);

    // The first bytes of each format, in base64.
    private static string Guess(string base64) =>
        base64.StartsWith("/9j/", StringComparison.Ordinal) ? "image/jpeg"
        : base64.StartsWith("R0lGOD", StringComparison.Ordinal) ? "image/gif"
        : base64.StartsWith("UklGR", StringComparison.Ordinal) ? "image/webp"
        : "image/png";
}
