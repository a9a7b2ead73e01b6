using System.Text;
using CsCheck;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;
using Proxy.Http;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Http;

/// <summary>Forms with random changes: if a model is found, ASP.NET's own reader finds no other one, and it is where the proxy says.</summary>
public sealed class FuzzedFormTests
{
    private static readonly List<byte[]> Corpus =
    [
        .. new[]
        {
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--b\r\n"
                + "Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\0\r\n--bx\r\n--b--\r\n",
            "preamble\r\n--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n\r\n\r\n--b \r\n"
                + "content-disposition: form-data;name=model\r\n\r\nm\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=model\r\n\r\none\r\n--b--more\r\n\r\n"
                + "--b\r\nContent-Disposition: form-data; name=model\r\n\r\ntwo\r\n--b--",
            "--b\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na\nb\r\n--b\r\n"
                + "Content-Disposition: form-data; name=\"Model\"\r\n\r\nother\r\n--b--\r\nepilogue",
            "--b\r\nContent-Disposition: form-data; name=\"model\"; filename=\"model\"\r\n\r\nx\r\n--b--\r\n",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    [Theory]
    [InlineData("--b--more\r\n\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\ntwo\r\n--b--")]
    [InlineData("--b--\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\ntwo\r\n--b--")]
    public void Parts_follow_the_last_delimiter_No_model_is_found(string end) => Assert.Null(MultipartModel.Find(
        Encoding.UTF8.GetBytes("--b\r\nContent-Disposition: form-data; name=model\r\n\r\none\r\n" + end), "multipart/form-data; boundary=b"));

    [Fact]
    public void Delimiter_stands_within_a_line_before_the_first_one_No_model_is_found() => Assert.Null(MultipartModel.Find(
        "pre--b\r\nContent-Disposition: form-data; name=model\r\n\r\none\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\ntwo\r\n--b--"u8,
        "multipart/form-data; boundary=b"));

    [Fact]
    public Task Form_with_changes_Has_the_model_that_another_reader_finds() => Gen.Int.HoldsAsync(2000, static seed => $"seed {seed}", async seed =>
    {
        var body = Mutation.Of(Corpus, new Random(seed), most: 3);
        if (MultipartModel.Find(body, "multipart/form-data; boundary=b") is not var (model, slice)) return;

        Assert.Equal(model, Encoding.UTF8.GetString(body[slice]));
        var models = new List<string>();
        try
        {
            var reader = new MultipartReader("b", new MemoryStream(body));
            while (await reader.ReadNextSectionAsync() is { } section)
            {
                using var content = new MemoryStream();
                await section.Body.CopyToAsync(content);
                if (ContentDispositionHeaderValue.TryParse(section.ContentDisposition, out var said) && HeaderUtilities.RemoveQuotes(said.Name) == "model")
                    models.Add(Encoding.UTF8.GetString(content.ToArray()));
            }
        }
        catch (Exception refused) when (refused is IOException or InvalidDataException)
        {
            return; // such a form is served by no host of that kind
        }

        // It may find none: it takes a delimiter in the middle of a line for one. It must not find another one.
        Assert.True(models.Count == 0 || (models is [var other] && other == model), $"{model}, but {string.Join(", ", models)}: {Properties.Shown(body)}");
    });
}
