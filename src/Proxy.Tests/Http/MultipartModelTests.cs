using System.Text;
using Proxy.Http;

namespace Proxy.Tests.Http;

public sealed class MultipartModelTests
{
    private const string Type = "multipart/form-data; boundary=B";
    private const string File = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\0\r\n--\r\n\r\nhere --B is content\r\n";
    private const string Model = "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n";
    private const string End = "--B--\r\n";

    [Theory]
    [InlineData(Model + File + End)]
    [InlineData(File + Model + End)]
    [InlineData("a preamble\r\n" + Model + End)]
    [InlineData(Model + "--B--")]
    [InlineData(Model + End + "an epilogue\r\n")]
    [InlineData("--B\r\nContent-Type: text/plain\r\ncontent-disposition:form-data;NAME=model\r\n\r\nwhisper\r\n" + End)]
    [InlineData("--B \t\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n" + End)]
    [InlineData("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x name=\\\"model\\\".wav\"\r\n\r\nx\r\n" + Model + End)]
    public void One_model_field_Its_value_and_its_place(string body)
    {
        var bytes = Encoding.UTF8.GetBytes(body);

        var found = MultipartModel.Find(bytes, Type);

        Assert.Equal("whisper", found?.Model);
        Assert.Equal("whisper", Encoding.UTF8.GetString(bytes[found!.Value.Slice]));
    }

    [Theory]
    [InlineData(File + End)] // no model field
    [InlineData("--B\r\nContent-Disposition: form-data; name=\"model\"; filename=\"m\"\r\n\r\nwhisper\r\n" + End)] // a file with the name of the field
    [InlineData("--B\r\nContent-Disposition: form-data; name=\"model\"; filename=\"\"\r\n\r\nwhisper\r\n" + End)]
    [InlineData("--B\r\nContent-Disposition: form-data; name=\"model\"; filename*=UTF-8''m\r\n\r\nwhisper\r\n" + End)]
    [InlineData("--B\r\nContent-Disposition: form-data; FILENAME=m; name=\"model\"\r\n\r\nwhisper\r\n" + End)]
    [InlineData("--B\r\nContent-Disposition: form-data; name=\"model\"; filename=\"m\"\r\n\r\nsecret\r\n" + Model + End)]
    [InlineData(Model + "--B\r\nContent-Disposition: form-data; name=\"model\"; filename=\"m\"\r\n\r\nsecret\r\n" + End)]
    [InlineData(Model + End + "an epilogue\r\n" + Model)] // not every parser stops at the end
    [InlineData(Model + Model + End)] // two fields: parsers may choose differently
    [InlineData(Model + "--B\r\nContent-Disposition: form-data; NAME=\"model\"\r\n\r\nsecret\r\n" + End)]
    [InlineData(Model + "--B\r\nContent-Disposition: form-data; name=\"x\"; name=\"model\"\r\n\r\nsecret\r\n" + End)]
    [InlineData(Model + "--B\r\nContent-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nsecret\r\n" + End)]
    [InlineData(Model + "--B\r\nContent-Disposition: form-data; name*=UTF-8''model\r\n\r\nsecret\r\n" + End)]
    [InlineData(Model + "--B\r\nContent-Disposition: form-data; name=\"mo\\del\"\r\n\r\nsecret\r\n" + End)]
    [InlineData(Model + "--B\r\nContent-Type: text/plain\r\n\r\nnameless\r\n" + End)]
    [InlineData(Model)] // no closing boundary
    [InlineData(Model + "--Bad\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n" + End)] // a longer line that begins like the boundary
    [InlineData("--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n--B--\r\n")] // no line break between the headers and the boundary
    [InlineData("")]
    [InlineData("{\"model\":\"whisper\"}")]
    public void Form_is_not_clear_It_has_no_model(string body)
    {
        Assert.Null(MultipartModel.Find(Encoding.UTF8.GetBytes(body), Type));
    }

    [Theory]
    [InlineData("multipart/form-data; boundary=\"B\"", true)]
    [InlineData("Multipart/Form-Data; charset=utf-8; boundary=B", true)]
    [InlineData("multipart/form-data", false)]
    [InlineData("multipart/form-data; boundary=", false)]
    [InlineData("multipart/form-data; xboundary=B", false)]
    [InlineData("multipart/form-data; boundary=B; boundary=C", false)]
    [InlineData("multipart/mixed; boundary=B", false)]
    public void Content_type_Has_to_name_one_boundary(string contentType, bool expected)
    {
        Assert.Equal(expected, MultipartModel.Find(Encoding.UTF8.GetBytes(Model + End), contentType) is not null);
    }

    [Fact]
    public void Value_is_empty_It_is_found_empty()
    {
        Assert.Equal("", MultipartModel.Find("--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\r\n--B--\r\n"u8, Type)?.Model);
    }
}
